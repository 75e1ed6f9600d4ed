//! Doubles of stores, for tests: another store with some calls changed.
//!
//! What always holds here: a call that a double has no hook for goes to the store behind it, and what [`Store`] does by
//! other calls goes through their hooks.

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};

use crate::{Entry, Failures, Kind, Result, Room, Stats, Store, Traits};

/// A store in front of another one, for tests; only what differs is written. Whatever has hooks is a [`Store`].
pub trait StoreHooks: Send + Sync {
    /// The store behind it.
    fn inner(&self) -> &dyn Store;

    /// In the place of [`Store::url`]
    fn on_url(&self) -> &str {
        self.inner().url()
    }

    /// In the place of [`Store::traits`]
    fn on_traits(&self) -> Traits {
        self.inner().traits()
    }

    /// In the place of [`Store::put_chunks`]
    fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.inner().put_chunks(chunks)
    }

    /// In the place of [`Store::write_chunks`]
    fn on_write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.on_put_chunks(chunks)
    }

    /// In the place of [`Store::sync`]
    fn on_sync(&self) -> Result<()> {
        Ok(())
    }

    /// In the place of [`Store::get_chunks`]
    fn on_get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        self.inner().get_chunks(addresses)
    }

    /// In the place of [`Store::read_part`]
    fn on_read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.inner().read_part(address, offset, len)
    }

    /// In the place of [`Store::reads_parts`]
    fn on_reads_parts(&self) -> bool {
        false
    }

    /// In the place of [`Store::has_chunks`]
    fn on_has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.inner().has_chunks(addresses)
    }

    /// In the place of [`Store::get_pointer`]
    fn on_get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.inner().get_pointer(address)
    }

    /// In the place of [`Store::set_pointer`]
    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.inner().set_pointer(pointer, expected)
    }

    /// In the place of [`Store::room`]
    fn on_room(&self) -> Option<Room> {
        None
    }

    /// In the place of [`Store::failures`]
    fn on_failures(&self) -> Failures {
        Failures::default()
    }
}

impl<T: StoreHooks> Store for T {
    fn url(&self) -> &str {
        self.on_url()
    }

    fn traits(&self) -> Traits {
        self.on_traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.on_put_chunks(chunks)
    }

    fn write_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.on_write_chunks(chunks)
    }

    fn sync(&self) -> Result<()> {
        self.on_sync()
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        self.on_get_chunks(addresses)
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.on_read_part(address, offset, len)
    }

    fn reads_parts(&self) -> bool {
        self.on_reads_parts()
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.on_has_chunks(addresses)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.on_get_pointer(address)
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.on_set_pointer(pointer, expected)
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        self.inner().list(after, limit)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        self.inner().delete_chunks(addresses)
    }

    fn stats(&self) -> Result<Stats> {
        self.inner().stats()
    }

    fn room(&self) -> Option<Room> {
        self.on_room()
    }

    fn failures(&self) -> Failures {
        self.on_failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, Method};

    /// Counts bytes that are put.
    #[derive(Default)]
    struct Counting(MemoryStore, std::sync::atomic::AtomicUsize);

    impl StoreHooks for Counting {
        fn inner(&self) -> &dyn Store {
            &self.0
        }

        fn on_put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
            let bytes = chunks.iter().map(|chunk| chunk.bytes().len()).sum();
            self.1.fetch_add(bytes, std::sync::atomic::Ordering::SeqCst);
            self.0.put_chunks(chunks)
        }
    }

    #[test]
    fn calls_go_to_the_store_behind_and_through_the_hooks() {
        let double = Counting::default();
        let chunk = Chunk::new(b"something".to_vec()).unwrap();
        let address = chunk.address();
        double.write_needed(&[chunk]).unwrap();
        assert_eq!(double.1.load(std::sync::atomic::Ordering::SeqCst), 9);
        assert_eq!(double.read_part(&address, 4, 5).unwrap(), &b"thing"[..]);
        assert_eq!(double.has_chunks(&[address]).unwrap(), [true]);
        assert_eq!(double.list(None, 9).unwrap().len(), 1);
        assert_eq!(double.delete_chunks(&[address]).unwrap(), 1);
        assert_eq!(double.0.calls(Method::DeleteChunks), 1);
        assert_eq!(double.stats().unwrap().chunks, 0);
        assert_eq!(double.url(), double.0.url());
    }
}
