//! Bodies that come in pieces.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use safeos_record::Address;
use tokio::sync::mpsc;

use crate::app_state::AppState;
use crate::memory_limiter::{Permit, tie};
use crate::visit::Visit;

/// Bytes of a large chunk that are read with one call: a piece stays in the processor's cache on its way from the file
/// to the line, a whole chunk does not.
pub(crate) const PIECE_BYTES: u32 = 256 * 1024;
/// How far ahead of a reader a chunk is read that is not in the system's memory.
const AHEAD_BYTES: u32 = 4 * PIECE_BYTES;

/// A body, from any source of pieces.
pub(crate) struct Pieces<S>(pub(crate) S);

/// Where pieces come from.
pub(crate) trait Source {
    /// The next one; `None` at the end, also at one that comes too early.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// How many bytes are to come, where that is announced. If they do not, the connection ends.
    fn left(&self) -> Option<u64>;
}

impl<S: Source + Unpin> Body for Pieces<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.0.poll_piece(context));
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.left();
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The bytes of a sender. If it ends too early, the reader notices by the content.
impl Source for mpsc::Receiver<Bytes> {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_recv(context)
    }

    fn left(&self) -> Option<u64> {
        None
    }
}

/// A chunk that was verified before, read as it is taken. Pages in the system's cache are read at once; for the rest a
/// thread waits. A failed read ends the answer early, and with it the connection.
pub(crate) struct LargeChunk {
    app: Arc<AppState>,
    visit: Visit,
    at: Address,
    from: u32,
    len: u32,
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

impl LargeChunk {
    pub(crate) fn new(app: Arc<AppState>, visit: Visit, at: Address, len: u32) -> Self {
        Self {
            app,
            visit,
            at,
            from: 0,
            len,
            waiting: None,
        }
    }
}

impl Source for LargeChunk {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let count = PIECE_BYTES.min(self.len - self.from);
        if count == 0 {
            return Poll::Ready(None);
        }
        let (app, at, from) = (&self.app, self.at, self.from);
        let at_once = match &self.waiting {
            None => now(app, &self.visit, &at, from, count),
            Some(_) => None,
        };
        let piece = match at_once {
            Some(piece) => Some(piece),
            None => {
                let visit = &self.visit;
                let waiting = self.waiting.get_or_insert_with(|| {
                    let visit = visit.goes_on(&app.limits);
                    Box::pin(later(app.clone(), visit, at, from, count))
                });
                let piece = ready!(waiting.as_mut().poll(context));
                self.waiting = None;
                piece
            }
        };
        self.from += piece.as_ref().map_or(0, Bytes::len) as u32;
        Poll::Ready(piece)
    }

    fn left(&self) -> Option<u64> {
        Some(u64::from(self.len - self.from))
    }
}

/// A piece that takes no waiting.
fn now(app: &AppState, visit: &Visit, at: &Address, from: u32, count: u32) -> Option<Bytes> {
    let room = app.memory.room_now(visit.network(), count as usize)?;
    let mut memory = app.buffers.take(count as usize);
    if app.reads_now(at, from, &mut memory.bytes) {
        return Some(tie(Bytes::from_owner(memory), room));
    }
    None
}

async fn later(
    app: Arc<AppState>,
    visit: Visit,
    at: Address,
    from: u32,
    count: u32,
) -> Option<Bytes> {
    let room = app
        .memory
        .room(visit.network(), count as usize, visit.until);
    let room: Permit = room.await.ok()?;
    let piece = app
        .store(&visit, move |store| {
            store.read_ahead(&at, from + count, AHEAD_BYTES);
            store.read_part(&at, from, count)
        })
        .await;
    match piece {
        Ok(Ok(piece)) => Some(tie(piece, room)),
        _ => None,
    }
}
