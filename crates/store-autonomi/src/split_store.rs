//! Chunks on one store, pointers on another: for a network that does not take pointers yet, or where they are dear.

use std::sync::Arc;

use bytes::Bytes;
use safeos_record::{Address, Chunk, Pointer};
use safeos_store::{Entry, Kind, Result, Stats, Store, Traits, Upload, Wallet};

/// A store whose pointers are kept by another one.
pub struct SplitStore {
    url: String,
    chunks: Arc<dyn Store>,
    pointers: Arc<dyn Store>,
}

impl SplitStore {
    /// `chunks` for chunks, `pointers` for pointers; `url` names both.
    pub fn new(url: &str, chunks: Arc<dyn Store>, pointers: Arc<dyn Store>) -> Self {
        Self {
            url: url.to_owned(),
            chunks,
            pointers,
        }
    }
}

impl Store for SplitStore {
    fn url(&self) -> &str {
        &self.url
    }

    fn traits(&self) -> Traits {
        self.chunks.traits()
    }

    fn put_chunks(&self, chunks: &[Chunk]) -> Result<()> {
        self.chunks.put_chunks(chunks)
    }

    fn upload(&self, addresses: &[Address], from: &dyn Upload) -> Result<()> {
        self.chunks.upload(addresses, from)
    }

    fn wallet(&self) -> Option<&dyn Wallet> {
        self.chunks.wallet()
    }

    fn get_chunks(&self, addresses: &[Address]) -> Vec<Result<Chunk>> {
        self.chunks.get_chunks(addresses)
    }

    fn read_part(&self, address: &Address, offset: u32, len: u32) -> Result<Bytes> {
        self.chunks.read_part(address, offset, len)
    }

    fn has_chunks(&self, addresses: &[Address]) -> Result<Vec<bool>> {
        self.chunks.has_chunks(addresses)
    }

    fn get_pointer(&self, address: &Address) -> Result<Option<Pointer>> {
        self.pointers.get_pointer(address)
    }

    fn set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> Result<()> {
        self.pointers.set_pointer(pointer, expected)
    }

    fn list(&self, after: Option<(Kind, Address)>, limit: usize) -> Result<Vec<Entry>> {
        // Chunks sort before pointers.
        let mut found = match after {
            Some((Kind::Pointer, _)) => Vec::new(),
            _ => {
                let mut chunks = self.chunks.list(after, limit)?;
                chunks.retain(|entry| entry.kind == Kind::Chunk);
                chunks
            }
        };
        if found.len() < limit {
            let last_chunk = Some((Kind::Chunk, Address([0xff; 32])));
            let after = after.filter(|(kind, _)| *kind == Kind::Pointer);
            let pointers = self
                .pointers
                .list(after.or(last_chunk), limit - found.len())?;
            found.extend(pointers.into_iter().filter(|e| e.kind == Kind::Pointer));
        }
        Ok(found)
    }

    fn delete_chunks(&self, addresses: &[Address]) -> Result<u64> {
        self.chunks.delete_chunks(addresses)
    }

    fn stats(&self) -> Result<Stats> {
        let (chunks, pointers) = (self.chunks.stats()?, self.pointers.stats()?);
        Ok(Stats {
            chunks: chunks.chunks,
            pointers: pointers.pointers,
            bytes: chunks.bytes + pointers.pointers * safeos_record::POINTER_LEN as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use safeos_record::{OwnerKey, Target};
    use safeos_store::MemoryStore;

    use super::*;

    #[test]
    fn each_kind_is_where_it_belongs() {
        let (chunks, pointers) = (
            Arc::new(MemoryStore::default()),
            Arc::new(MemoryStore::default()),
        );
        let store = SplitStore::new("memory:", chunks.clone(), pointers.clone());
        let some: Vec<Chunk> = (0..5_u8).map(|n| Chunk::new(vec![n]).unwrap()).collect();
        store.put_chunks(&some).unwrap();
        let owner = OwnerKey::from_seed(&[1; 32]);
        let pointer = Pointer::sign(&owner, 0, Target::Chunk(some[0].address())).unwrap();
        store.set_pointer(&pointer, None).unwrap();
        assert_eq!(store.get_pointer(&owner.address()).unwrap(), Some(pointer));
        assert_eq!(chunks.stats().unwrap().pointers, 0);
        assert_eq!(pointers.stats().unwrap().chunks, 0);
        let stats = store.stats().unwrap();
        assert_eq!((stats.chunks, stats.pointers), (5, 1));
        for page in 1..7 {
            let mut all = Vec::new();
            let mut after = None;
            loop {
                let found = store.list(after, page).unwrap();
                let Some(last) = found.last() else { break };
                after = Some((last.kind, last.address));
                all.extend(found);
            }
            assert_eq!(all.len(), 6, "pages of {page}");
            assert_eq!(all.last().unwrap().kind, Kind::Pointer);
        }
    }
}
