//! A volume whose writes wait until the gate is opened.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use safeos_session::model::ModelVolume;
use safeos_session::{Attr, DirEntry, Ino, NewNode, Result, Seek, SetAttr, Space, Volume};

/// A model behind a gate.
pub struct Gate {
    model: Arc<ModelVolume>,
    came: Mutex<Sender<()>>,
    opened: Mutex<Receiver<()>>,
}

/// Opens the gate.
pub struct Keeper {
    /// Says that a write has come.
    pub came: Receiver<()>,
    /// Lets one through.
    pub open: Sender<()>,
}

impl Gate {
    pub fn new(model: Arc<ModelVolume>) -> (Arc<Self>, Keeper) {
        let (came, has_come) = channel();
        let (open, opened) = channel();
        let gate = Self {
            model,
            came: Mutex::new(came),
            opened: Mutex::new(opened),
        };
        let keeper = Keeper {
            came: has_come,
            open,
        };
        (Arc::new(gate), keeper)
    }
}

impl Volume for Gate {
    fn write(&self, ino: Ino, offset: Option<u64>, data: &[u8]) -> Result<u64> {
        let _ = self.came.lock().send(());
        let _ = self.opened.lock().recv();
        self.model.write(ino, offset, data)
    }

    fn root(&self) -> Ino {
        self.model.root()
    }
    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr> {
        self.model.lookup(dir, name)
    }
    fn attr(&self, ino: Ino) -> Result<Attr> {
        self.model.attr(ino)
    }
    fn parent(&self, dir: Ino) -> Result<Ino> {
        self.model.parent(dir)
    }
    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        self.model.path(ino)
    }
    fn read_link(&self, ino: Ino) -> Result<Vec<u8>> {
        self.model.read_link(ino)
    }
    fn read(&self, ino: Ino, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.model.read(ino, offset, len, out)
    }
    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>> {
        self.model.read_dir(dir, after, limit)
    }
    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        self.model.seek(ino, offset, what)
    }
    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.model.xattr(ino, name)
    }
    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        self.model.xattrs(ino)
    }
    fn space(&self) -> Result<Space> {
        self.model.space()
    }
    fn retain(&self, ino: Ino) {
        self.model.retain(ino);
    }
    fn release(&self, ino: Ino, count: u64) {
        self.model.release(ino, count);
    }
    fn set_attr(&self, ino: Ino, change: &SetAttr) -> Result<Attr> {
        self.model.set_attr(ino, change)
    }
    fn create(&self, dir: Ino, name: &[u8], node: &NewNode<'_>) -> Result<Attr> {
        self.model.create(dir, name, node)
    }
    fn write_back(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<()> {
        self.model.write_back(ino, offset, data)
    }
}
