//! Test data: the same in every run, like nothing twice, and shaped like what people have.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A small, fast generator of numbers (SplitMix64). Not for secrets.
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Fills a buffer with bytes that do not compress.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}

const PAGE: usize = 4096;

/// Bytes without an end, no page of which is like another, made much faster than any disk takes them: a block of random
/// bytes is used again and again with a running number in each page.
pub struct Stream {
    block: Vec<u8>,
    at: usize,
    page: u64,
}

impl Stream {
    /// Different seeds give different streams.
    pub fn new(seed: u64) -> Self {
        let mut block = vec![0; 32 << 20];
        Random::new(seed).fill(&mut block);
        Self {
            block,
            at: 0,
            page: seed << 40,
        }
    }

    /// The next `len` bytes (whole pages, at most 1 MiB).
    pub fn next(&mut self, len: usize) -> &[u8] {
        let len = len.clamp(PAGE, 1 << 20) / PAGE * PAGE;
        if self.at + len > self.block.len() {
            self.at = 0;
        }
        let part = &mut self.block[self.at..self.at + len];
        for page in part.chunks_exact_mut(PAGE) {
            self.page += 1;
            page[..8].copy_from_slice(&self.page.to_le_bytes());
        }
        self.at += len;
        part
    }
}

const WORDS: [&str; 48] = [
    "let", "mut", "fn", "return", "match", "struct", "impl", "for", "self", "value", "offset",
    "length", "buffer", "index", "node", "entry", "result", "error", "if", "else", "while", "pub",
    "const", "static", "(", ")", "{", "}", ";", ",", "->", "=>", "==", "+=", "&", "::", "usize",
    "u64", "Vec<u8>", "String", "None", "Some", "Ok", "Err", "//", "0", "1", "0xff",
];

/// Text like a program's source, about `len` bytes of it.
pub fn source_text(random: &mut Random, len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 32);
    let mut line = 0;
    while text.len() < len {
        if line == 0 {
            let depth = random.below(4) as usize;
            text.extend(std::iter::repeat_n(b' ', depth * 4));
        }
        match random.below(4) {
            0 => {
                let name = random.below(1 << 24);
                text.extend_from_slice(format!("name_{name:x}").as_bytes());
            }
            _ => {
                let word = random.below(WORDS.len() as u64) as usize;
                text.extend_from_slice(WORDS[word].as_bytes());
            }
        }
        line += 1;
        if line == 9 {
            text.push(b'\n');
            line = 0;
        } else {
            text.push(b' ');
        }
    }
    text.truncate(len);
    text
}

/// The result of [`source_tree`].
pub struct Made {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// Makes a tree of `entries` entries shaped like the source of a large program: about 13 files a
/// folder, up to 6 folders deep, most files a few KiB of text, a few of hundreds of KiB, some
/// executable, some symbolic links.
pub fn source_tree(folder: &Path, entries: u64, seed: u64) -> io::Result<Made> {
    let mut random = Random::new(seed);
    fs::create_dir_all(folder)?;
    let mut folders = vec![(folder.to_path_buf(), 0u32)];
    let mut made = Made {
        entries: 0,
        bytes: 0,
    };
    while made.entries < entries {
        let (parent, depth) = folders[random.below(folders.len() as u64) as usize].clone();
        if depth < 6 {
            let child = parent.join(format!("part_{:05}", made.entries));
            fs::create_dir(&child)?;
            made.entries += 1;
            folders.push((child, depth + 1));
        }
        let (here, _) = folders[folders.len() - 1].clone();
        let mut last = None;
        for _ in 0..4 + random.below(19) {
            if made.entries >= entries {
                break;
            }
            made.entries += 1;
            if random.below(150) == 0
                && let Some(target) = &last
            {
                symlink(target, here.join(format!("link_{:05}", made.entries)))?;
                continue;
            }
            let len = match random.below(100) {
                0 => 200_000 + random.below(300_000),
                1..=9 => 20_000 + random.below(60_000),
                10..=49 => 3_000 + random.below(12_000),
                _ => random.below(4_000),
            };
            let name = format!("file_{:05}.rs", made.entries);
            let path = here.join(&name);
            let mut file = fs::File::create(&path)?;
            file.write_all(&source_text(&mut random, len as usize))?;
            if random.below(40) == 0 {
                file.set_permissions(fs::Permissions::from_mode(0o755))?;
            }
            made.bytes += len;
            last = Some(name);
        }
    }
    Ok(made)
}
