//! Bodies that come in pieces.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use safeos_record::Address;
use tokio::sync::mpsc;

use crate::budget::{Room, tie};
use crate::gate::Gate;

/// Bytes of a large chunk that are read with one call: a piece stays in the processor's cache on its way from the file
/// to the line, a whole chunk does not.
pub(crate) const PIECE_BYTES: u32 = 256 * 1024;
/// How far ahead of a reader a chunk is read that is not in the system's memory.
const AHEAD_BYTES: u32 = 4 * PIECE_BYTES;
/// How many pieces' memory is kept for the next.
const SPARE_MAX: usize = 16;

/// What a sender sends. If it ends too early its reader notices by what is in it.
pub(crate) struct Pieces(pub(crate) mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.0.poll_recv(context));
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A chunk that was verified before, read as it is taken. What the system has in memory is read at once; for the rest a
/// thread waits. What cannot be read ends the answer early, and with it the connection.
pub(crate) struct LargeChunk {
    gate: Arc<Gate>,
    at: Address,
    from: u32,
    len: u32,
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

impl LargeChunk {
    pub(crate) fn new(gate: Arc<Gate>, at: Address, len: u32) -> Self {
        Self {
            gate,
            at,
            from: 0,
            len,
            waiting: None,
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let count = PIECE_BYTES.min(self.len - self.from);
        if count == 0 {
            return Poll::Ready(None);
        }
        if self.waiting.is_none()
            && let Some(piece) = now(&self.gate, &self.at, self.from, count)
        {
            return Poll::Ready(Some(piece));
        }
        let (gate, at, from) = (&self.gate, self.at, self.from);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(later(gate.clone(), at, from, count)));
        let piece = ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(piece)
    }
}

impl Body for LargeChunk {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.poll_piece(context));
        if let Some(piece) = &piece {
            self.from += piece.len() as u32;
        }
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.from == self.len
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::from(self.len - self.from))
    }
}

/// A piece that takes no waiting.
fn now(gate: &Gate, at: &Address, from: u32, count: u32) -> Option<Bytes> {
    let room = gate.budget.room_now(count as usize)?;
    let mut memory = gate.spare.take(count as usize);
    if gate.reads_now(at, from, &mut memory.bytes) {
        return Some(tie(Bytes::from_owner(memory), room));
    }
    None
}

async fn later(gate: Arc<Gate>, at: Address, from: u32, count: u32) -> Option<Bytes> {
    let room: Room = gate.budget.room(count as usize).await.ok()?;
    let piece = gate
        .store(move |store| {
            store.read_ahead(&at, from + count, AHEAD_BYTES);
            store.read_part(&at, from, count)
        })
        .await;
    match piece {
        Ok(Ok(piece)) => Some(tie(piece, room)),
        _ => None,
    }
}

/// Memory of pieces that have left, for the next ones: it is in the processor's cache, and cleared already.
#[derive(Clone, Default)]
pub(crate) struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

struct Memory {
    bytes: Vec<u8>,
    spare: Spare,
}

impl Spare {
    fn take(&self, len: usize) -> Memory {
        let mut bytes = self.0.lock().pop().unwrap_or_default();
        bytes.resize(len, 0);
        Memory {
            bytes,
            spare: self.clone(),
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut spare = self.spare.0.lock();
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}
