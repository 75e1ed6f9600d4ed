//! The disk: a copy of the image, with SafeOS and the tests put into its file system.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redoxfs::{BLOCK_SIZE, Disk, FileSystem, Node, Transaction, TreePtr};
use syscall::error::{EIO, ENOENT, Error};

type Outcome<T> = syscall::error::Result<T>;

const PROGRAMS: [&str; 4] = ["safed", "safe", "safe-guest", "orbital-login"];
/// In place of the image's own, where it lies beside the programs.
const ORBITAL: &str = "orbital";
/// The programs of an image with a desktop.
const DESKTOP: [&str; 2] = ["usr/bin/orbital", "usr/bin/launcher"];
const SERVICES: &str = "usr/lib/init.d";

/// Texts that are read here are not longer.
const TEXT_MAX: usize = 1 << 20;

/// As in `recipes/safeos.toml`, so that the tests see the daemon of an image.
const DAEMON: (&str, &str) = (
    "05_safed.service",
    "[unit]\ndescription = \"safe: scheme\"\nrequires_weak = [\"00_base.target\"]\n\n[service]\ncmd = \"safed\"\n\
     args = [\"--supervise\", \"--state\", \"/var/lib/safeos/state\", \"--store\", \"file:///var/lib/safeos/store\"]\n\
     type = \"notify\"\n",
);
const TESTS: (&str, &str) = (
    "99_safe_guest.service",
    "[unit]\ndescription = \"SafeOS's tests\"\nrequires_weak = [\"05_safed.service\"]\n\n[service]\ncmd = \"safe-guest\"\n\
     type = \"oneshot_async\"\n",
);

/// The certificate that vouches for the gateway, and the line of the daemon's unit that names it.
const CA_FILE: &str = "etc/safeos/gateway.pem";
const CA_LINE: &str = "envs = { SAFE_CA_FILE = \"/etc/safeos/gateway.pem\" }\n";
/// Does what it is told over the serial line.
const AGENT: (&str, &str) = (
    "99_safe_guest.service",
    "[unit]\ndescription = \"SafeOS's tests\"\nrequires_weak = [\"05_safed.service\", \"10_net.target\"]\n\n[service]\n\
     cmd = \"safe-guest\"\nargs = [\"serve\"]\ntype = \"oneshot_async\"\n",
);
/// The image's own logins on the consoles, which would take what is said to the agent.
const CONSOLES: (&str, &str) = ("30_console", "requires_weak 20_orbital\n");

/// The sign-in screen in place of the image's own; as in `recipes/safeos.toml` too.
const SIGN_IN: (&str, &str) = (
    "20_orbital",
    "requires_weak 10_net.target 20_audiod.service\nnowait VT=3 orbital orbital-login launcher\n",
);
/// The program that the desktop test starts from the launcher's menu: the last one of its last group.
const ENTRY: &str = "usr/share/applications/safe-guest.desktop";

fn entry(arguments: &str) -> String {
    format!(
        "[Desktop Entry]\nType=Application\nName=~ SafeOS test\nExec=safe-guest {arguments}\nCategories=Utility;\n"
    )
}

/// The purpose of an image.
pub enum Purpose<'a> {
    /// The tests without a desktop; only those that are named, if any are.
    Tests(&'a [String]),
    /// The sign-in screen.
    Desktop,
    /// An agent that does what it is told.
    Network {
        /// The certificate of the gateway.
        ca_file: &'a str,
        /// The arguments of the program in the desktop's menu, if there is a desktop.
        program: Option<&'a str>,
    },
}

/// Copies the image to the folder.
pub fn copy(image: &Path, work: &Path) -> Result<PathBuf, String> {
    let copy = work.join("disk.img");
    fs::create_dir_all(work).map_err(|error| format!("{}: {error}", work.display()))?;
    fs::copy(image, &copy).map_err(|error| {
        format!(
            "{} cannot be copied to {}: {error}",
            image.display(),
            copy.display()
        )
    })?;
    Ok(copy)
}

/// Whether the image has Orbital and its launcher.
pub fn has_desktop(image: &Path) -> Result<bool, String> {
    let mut system = open(image)?;
    let has = |path: &&str| system.tx(|tx| find(tx, path)).is_ok();
    Ok(DESKTOP.iter().all(has))
}

/// Puts the programs and the services that start them into the image.
pub fn put(image: &Path, programs: &Path, purpose: &Purpose<'_>) -> Result<(), String> {
    let mut files = vec![];
    let orbital = (programs.join(ORBITAL).exists() && !matches!(purpose, Purpose::Tests(_)))
        .then_some(ORBITAL);
    for name in PROGRAMS.into_iter().chain(orbital) {
        let path = programs.join(name);
        let data = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push((format!("usr/bin/{name}"), 0o755, data));
    }
    let mut add = |path: String, text: &str| files.push((path, 0o644, text.as_bytes().to_vec()));
    let mut daemon = DAEMON.1.to_owned();
    if let Purpose::Network { ca_file, .. } = purpose {
        add(CA_FILE.to_owned(), ca_file);
        daemon.push_str(CA_LINE);
    }
    add(format!("{SERVICES}/{}", DAEMON.0), &daemon);
    match purpose {
        Purpose::Tests(only) => {
            add(format!("{SERVICES}/{}", TESTS.0), TESTS.1);
            if !only.is_empty() {
                add("var/lib/safe-guest/only".to_owned(), &only.join("\n"));
            }
        }
        Purpose::Desktop => {
            add(format!("{SERVICES}/{}", SIGN_IN.0), SIGN_IN.1);
            add(ENTRY.to_owned(), &entry("desktop"));
        }
        Purpose::Network { program, .. } => {
            add(format!("{SERVICES}/{}", AGENT.0), AGENT.1);
            add(format!("{SERVICES}/{}", CONSOLES.0), CONSOLES.1);
            if let Some(program) = program {
                add(format!("{SERVICES}/{}", SIGN_IN.0), SIGN_IN.1);
                add(ENTRY.to_owned(), &entry(program));
            }
        }
    }
    let mut system = open(image)?;
    for (path, mode, data) in files {
        system
            .tx(|tx| put_file(tx, &path, mode, &data))
            .map_err(|error| format!("{path} cannot be put into the image: {error}"))?;
    }
    Ok(())
}

/// A text in the image.
pub fn text(image: &Path, path: &str) -> Result<String, String> {
    let read = open(image)?.tx(|tx| {
        let node = find(tx, path)?;
        let length = tx.read_tree(node)?.data().size();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(TEXT_MAX)];
        let count = tx.read_node(node, 0, &mut bytes, 0, 0)?;
        bytes.truncate(count);
        Ok(bytes)
    });
    let bytes = read.map_err(|error| format!("{path} in the image: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("{path} in the image: {error}"))
}

/// The names in a folder of the image.
pub fn names(image: &Path, path: &str) -> Result<Vec<String>, String> {
    let listed = open(image)?.tx(|tx| {
        let mut entries = Vec::new();
        let folder = find(tx, path)?;
        tx.child_nodes(folder, &mut entries)?;
        Ok(entries)
    });
    let entries = listed.map_err(|error| format!("{path} in the image: {error}"))?;
    Ok(entries
        .iter()
        .filter_map(|entry| entry.name().map(str::to_owned))
        .collect())
}

/// Whether the bytes stand anywhere on the disk, freed blocks included.
pub fn holds(image: &Path, bytes: &[u8]) -> Result<bool, String> {
    File::open(image)
        .and_then(|file| is_in(file, bytes))
        .map_err(|error| format!("{}: {error}", image.display()))
}

fn is_in(mut file: impl Read, bytes: &[u8]) -> std::io::Result<bool> {
    let mut buffer = vec![0; 1 << 20];
    // Earlier bytes that may be the beginning.
    let mut kept = 0;
    loop {
        let count = file.read(&mut buffer[kept..])?;
        if count == 0 {
            return Ok(false);
        }
        let filled = kept + count;
        let mut parts = buffer[..filled].windows(bytes.len());
        if parts.any(|part| part == bytes) {
            return Ok(true);
        }
        kept = filled.min(bytes.len().saturating_sub(1));
        buffer.copy_within(filled - kept..filled, 0);
    }
}

fn open(image: &Path) -> Result<FileSystem<Image>, String> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(image)
        .map_err(|error| format!("{}: {error}", image.display()))?;
    FileSystem::open(Image(file), None, None, true).map_err(|error| {
        format!(
            "{} holds no RedoxFS that can be opened: {error}",
            image.display()
        )
    })
}

fn find<D: Disk>(tx: &mut Transaction<D>, path: &str) -> Outcome<TreePtr<Node>> {
    let mut parts = path.split('/');
    parts.try_fold(TreePtr::root(), |folder, part| {
        tx.find_node(folder, part).map(|node| node.ptr())
    })
}

fn put_file<D: Disk>(tx: &mut Transaction<D>, path: &str, mode: u16, data: &[u8]) -> Outcome<()> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folder = TreePtr::root();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = match tx.find_node(folder, part) {
            Ok(node) => node.ptr(),
            Err(error) if error.errno == ENOENT => tx
                .create_node(folder, part, Node::MODE_DIR | 0o755, 0, 0)?
                .ptr(),
            Err(error) => return Err(error),
        };
    }
    if tx.find_node(folder, name).is_ok() {
        tx.remove_node(folder, name, Node::MODE_FILE)?;
    }
    let node = tx
        .create_node(folder, name, Node::MODE_FILE | mode, 0, 0)?
        .ptr();
    let written = tx.write_node(node, 0, data, 0, 0)?;
    if written == data.len() {
        Ok(())
    } else {
        Err(Error::new(EIO))
    }
}

/// The image as a disk of blocks.
struct Image(File);

fn failed(_: std::io::Error) -> Error {
    Error::new(EIO)
}

impl Disk for Image {
    unsafe fn read_at(&mut self, block: u64, buffer: &mut [u8]) -> Outcome<usize> {
        self.0.read_at(buffer, block * BLOCK_SIZE).map_err(failed)
    }

    unsafe fn write_at(&mut self, block: u64, buffer: &[u8]) -> Outcome<usize> {
        self.0
            .write_all_at(buffer, block * BLOCK_SIZE)
            .map_err(failed)?;
        Ok(buffer.len())
    }

    fn size(&mut self) -> Outcome<u64> {
        self.0.metadata().map(|meta| meta.len()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        let word = b"correct horse";
        for at in [0, 7, (1 << 20) - 5, 1 << 20, (1 << 21) + 3] {
            let mut disk = vec![b'c'; (1 << 21) + 100];
            assert!(!is_in(&disk[..], word).unwrap());
            disk[at..][..word.len()].copy_from_slice(word);
            assert!(is_in(&disk[..], word).unwrap(), "{at}");
            // In small pieces, as a slow disk may give them.
            let pieces = disk[..at + 6].chain(&disk[at + 6..]);
            assert!(is_in(pieces, word).unwrap(), "{at}");
        }
    }
}
