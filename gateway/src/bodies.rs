//! A body that comes in.
//!
//! What always holds here: every byte earns its time on the slowest line there may be, up to a full pause; a body that
//! is slower ends. One that keeps room which others wait for ends sooner.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::Limits;
use crate::answer::{Outcome, Refusal};
use crate::connections::{FALTER, LOOK_EVERY};
use crate::memory_limiter::MemoryLimiter;
use crate::visit::Visit;

/// A body has more bytes than that.
pub(crate) fn too_large(max: usize) -> Refusal {
    Refusal::new(
        axum::http::StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("at most {max} bytes are taken here"),
    )
}

pub(crate) struct Incoming<'a> {
    limits: &'a Limits,
    memory: &'a MemoryLimiter,
    visit: &'a Visit,
    body: Body,
    deadline: Instant,
    keeps_room: bool,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(
        limits: &'a Limits,
        memory: &'a MemoryLimiter,
        visit: &'a Visit,
        body: Body,
    ) -> Self {
        Self {
            limits,
            memory,
            visit,
            body,
            deadline: Instant::now() + limits.stall,
            keeps_room: false,
        }
    }

    /// There is room for it from now on. The time that it took to get it is not the sender's.
    pub(crate) fn keeps_room(&mut self) {
        self.keeps_room = true;
        self.deadline = Instant::now() + self.limits.stall;
    }

    /// The next part; `None` at the end.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Bytes>> {
        loop {
            let limits = self.limits;
            let in_time = self.deadline.checked_sub(limits.stall);
            let in_time = in_time.unwrap_or(self.deadline);
            self.visit.connection.waits(in_time);
            let look = self.deadline.min(Instant::now() + LOOK_EVERY);
            let frame = timeout_at(look, self.body.frame()).await;
            self.visit.connection.goes_on();
            match frame {
                Err(_) => {
                    let now = Instant::now();
                    let wanted = self.keeps_room
                        && now >= in_time + FALTER
                        && self.memory.is_wanted_of(self.visit.network());
                    if now >= self.deadline || wanted {
                        return Err(Refusal::new(
                            axum::http::StatusCode::REQUEST_TIMEOUT,
                            "too_slow",
                            "the body came in too slowly or not at all; send it again",
                        ));
                    }
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Refusal::bad(
                        "bad_body",
                        "the body broke off or is malformed",
                    ));
                }
                Ok(Some(Ok(frame))) => {
                    let Ok(part) = frame.into_data() else {
                        continue;
                    };
                    let earned = self.deadline + limits.for_bytes(part.len());
                    self.deadline = earned.min(Instant::now() + limits.stall);
                    return Ok(Some(part));
                }
            }
        }
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        self.visit.connection.goes_on();
    }
}
