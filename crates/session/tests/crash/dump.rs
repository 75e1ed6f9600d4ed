//! Everything in a volume, for comparing.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use safeos_session::{Attr, FileKind, Ino, NewNode, SetAttr, Volume, XattrMode};

use safeos_session::model::ModelVolume;

use crate::operation::Path;

/// The node of a path, without what differs between a volume and its model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub kind: FileKind,
    pub perm: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// The first path of the same node.
    pub twin: Path,
    pub target: Vec<u8>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub node: Node,
    pub attr: Attr,
    pub content: u64,
}

pub type Dump = BTreeMap<Path, Found>;

/// Reads everything.
pub fn dump(volume: &dyn Volume) -> Dump {
    let mut out = Dump::new();
    let mut twins = HashMap::new();
    walk(volume, volume.root(), &[], &mut twins, &mut out);
    out
}

fn walk(
    volume: &dyn Volume,
    dir: Ino,
    above: &[u8],
    twins: &mut HashMap<Ino, Path>,
    out: &mut Dump,
) {
    let mut after = None;
    loop {
        let entries = volume.read_dir(dir, after.as_deref(), 7).unwrap();
        for entry in &entries {
            let mut path = above.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            let ino = entry.attr.ino;
            let attr = volume.attr(ino).unwrap();
            assert_eq!(attr, entry.attr, "read_dir and attr agree");
            let twin = twins.entry(ino).or_insert_with(|| path.clone()).clone();
            let names = volume.xattrs(ino).unwrap();
            let node = Node {
                kind: attr.kind,
                perm: attr.perm,
                nlink: attr.nlink,
                uid: attr.uid,
                gid: attr.gid,
                twin,
                target: match attr.kind {
                    FileKind::Symlink => volume.read_link(ino).unwrap(),
                    _ => Vec::new(),
                },
                xattrs: names
                    .into_iter()
                    .map(|name| {
                        let value = volume.xattr(ino, &name).unwrap();
                        (name, value)
                    })
                    .collect(),
            };
            let content = match attr.kind {
                FileKind::File => hash(&content(volume, &attr)),
                _ => 0,
            };
            out.insert(
                path.clone(),
                Found {
                    node,
                    attr,
                    content,
                },
            );
            if attr.kind == FileKind::Directory {
                walk(volume, ino, &path, twins, out);
            }
        }
        if entries.len() < 7 {
            return;
        }
        after = entries.last().map(|entry| entry.name.clone());
    }
}

pub fn content(volume: &dyn Volume, attr: &Attr) -> Vec<u8> {
    let mut bytes = Vec::new();
    volume
        .read(attr.ino, 0, attr.size as usize + 1, &mut bytes)
        .unwrap();
    assert_eq!(bytes.len() as u64, attr.size);
    bytes
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// How a volume differs from its model.
pub fn differs(real: &Dump, model: &Dump) -> Option<String> {
    let paths = |dump: &Dump| {
        let names: Vec<_> = dump
            .keys()
            .map(|path| String::from_utf8_lossy(path).into_owned())
            .collect();
        names
    };
    if !real.keys().eq(model.keys()) {
        return Some(format!(
            "names: {:?}\nexpected: {:?}",
            paths(real),
            paths(model)
        ));
    }
    real.iter()
        .zip(model.values())
        .find_map(|((path, real), model)| {
            let same = real.node == model.node
                && real.content == model.content
                && (real.node.kind == FileKind::Directory || real.attr.size == model.attr.size);
            (!same).then(|| {
                format!(
                    "{}: {real:?}\nexpected: {model:?}",
                    String::from_utf8_lossy(path)
                )
            })
        })
}

/// A model that has what a volume has.
pub fn model_of(volume: &dyn Volume) -> ModelVolume {
    let model = ModelVolume::new(1000, 1000);
    let mut made: HashMap<Ino, Ino> = HashMap::from([(volume.root(), model.root())]);
    for (path, found) in dump(volume) {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (dir, name) = match at {
            Some(at) => (
                crate::operation::resolve(&model, &path[..at]).unwrap(),
                &path[at + 1..],
            ),
            None => (model.root(), &path[..]),
        };
        let Found { node, attr, .. } = &found;
        if let Some(ino) = made.get(&attr.ino) {
            model.link(*ino, dir, name).unwrap();
            continue;
        }
        let new = NewNode {
            kind: node.kind,
            perm: node.perm,
            uid: node.uid,
            gid: node.gid,
            rdev: attr.rdev,
            target: &node.target,
        };
        let ino = model.create(dir, name, &new).unwrap().ino;
        made.insert(attr.ino, ino);
        if node.kind == FileKind::File {
            model.write(ino, Some(0), &content(volume, attr)).unwrap();
            let size = SetAttr {
                size: Some(attr.size),
                ..SetAttr::default()
            };
            model.set_attr(ino, &size).unwrap();
        }
        for (name, value) in &node.xattrs {
            model.set_xattr(ino, name, value, XattrMode::Any).unwrap();
        }
    }
    model
}
