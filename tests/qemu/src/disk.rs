//! The disk: a copy of the image, with SafeOS and the tests put into its file system.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redoxfs::{BLOCK_SIZE, Disk, FileSystem, Node, Transaction, TreePtr};
use syscall::error::{EIO, ENOENT, Error};

type Outcome<T> = syscall::error::Result<T>;

const PROGRAMS: [&str; 3] = ["safed", "safe", "safe-guest"];
const SERVICES: &str = "usr/lib/init.d";

/// As in `recipes/safeos.toml`, so that what is tested is what an image has.
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

/// Puts the programs and the services that start them into the image.
pub fn put(image: &Path, programs: &Path, only: &[String]) -> Result<(), String> {
    let mut files = vec![];
    for name in PROGRAMS {
        let path = programs.join(name);
        let data = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push((format!("usr/bin/{name}"), 0o755, data));
    }
    for (name, text) in [DAEMON, TESTS] {
        files.push((
            format!("{SERVICES}/{name}"),
            0o644,
            text.as_bytes().to_vec(),
        ));
    }
    if !only.is_empty() {
        let path = "var/lib/safe-guest/only".to_owned();
        files.push((path, 0o644, only.join("\n").into_bytes()));
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(image)
        .map_err(|error| format!("{}: {error}", image.display()))?;
    let mut system = FileSystem::open(Image(file), None, None, true).map_err(|error| {
        format!(
            "{} holds no RedoxFS that can be opened: {error}",
            image.display()
        )
    })?;
    for (path, mode, data) in files {
        system
            .tx(|tx| put_file(tx, &path, mode, &data))
            .map_err(|error| format!("{path} cannot be put into the image: {error}"))?;
    }
    Ok(())
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
