//! A connection whose other end must keep up.
//!
//! What always holds here: a write that waits longer than the reader's patience allows fails. Every byte that
//! leaves earns its time on the slowest line there may be, up to one full pause. While others wait for the memory that
//! the reader keeps, its patience is short.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::app_state::AppState;
use crate::connections::{Connection, FALTER, LOOK_EVERY};
use crate::visit::Peer;

pub(crate) struct WriteTimeout<I> {
    io: I,
    app: Arc<AppState>,
    peer: Peer,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
    /// The end of the patience when nothing waits.
    deadline: Instant,
}

impl<I> WriteTimeout<I> {
    pub(crate) fn new(io: I, app: Arc<AppState>, peer: Peer) -> Self {
        Self {
            io,
            deadline: Instant::now() + app.limits.stall,
            app,
            peer,
            until: None,
        }
    }

    fn connection(&self) -> &Connection {
        &self.peer.connection
    }

    /// Holds a wait against the clock.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        waiting: Poll<io::Result<T>>,
        moved: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let stall = self.app.limits.stall;
        match waiting {
            Poll::Ready(Ok(done)) => {
                let now = Instant::now();
                let earned = self.app.limits.for_bytes(moved(&done));
                // An idle connection starts with fresh patience.
                let from = if self.until.take().is_some() {
                    self.connection().goes_on();
                    self.deadline
                } else {
                    now + stall
                };
                self.deadline = (from + earned).min(now + stall);
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(context, stall),
        }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>, stall: Duration) -> Poll<io::Result<T>> {
        let deadline = self.deadline;
        let in_time = deadline.checked_sub(stall).unwrap_or(deadline);
        self.connection().waits(in_time);
        loop {
            let until = self.until.get_or_insert_with(|| {
                Box::pin(sleep_until(deadline.min(Instant::now() + LOOK_EVERY)))
            });
            ready!(until.as_mut().poll(context));
            let now = Instant::now();
            let short = now >= in_time + FALTER && self.app.is_wanted_of(self.peer.address);
            if now >= deadline || short {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let next = deadline.min(now + LOOK_EVERY);
            self.until = Some(Box::pin(sleep_until(next)));
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WriteTimeout<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, done, |count| *count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.watch(context, done, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_flush(context);
        self.watch(context, done, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, done, |()| 0)
    }
}
