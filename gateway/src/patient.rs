//! A connection whose other end must keep up.
//!
//! What always holds here: a write that waits longer than the reader's patience allows fails. Every byte that
//! leaves earns its time on the slowest line there may be, up to one full pause.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Limits;

pub(crate) struct Patient<I> {
    io: I,
    limits: Limits,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
    /// What is left of the patience when nothing waits.
    deadline: Instant,
}

impl<I> Patient<I> {
    pub(crate) fn new(io: I, limits: Limits) -> Self {
        Self {
            io,
            deadline: Instant::now() + limits.stall,
            limits,
            until: None,
        }
    }

    /// Holds a wait against the clock.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        waiting: Poll<io::Result<T>>,
        moved: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match waiting {
            Poll::Ready(Ok(done)) => {
                let now = Instant::now();
                let earned = self.limits.for_bytes(moved(&done));
                // A line that was idle starts anew.
                let from = if self.until.take().is_some() {
                    self.deadline
                } else {
                    now + self.limits.stall
                };
                self.deadline = (from + earned).min(now + self.limits.stall);
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let deadline = self.deadline;
                let until = self
                    .until
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                match until.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
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
