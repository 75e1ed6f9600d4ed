//! What is asked of every request before anything is done for it: who, how often, how many at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Body as _;
use safeos_store::wire::BODY_BYTES_MAX;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::answer::{Outcome, Refusal};
use crate::gate::{Gate, Shared};
use crate::metrics::Endpoint;
use crate::tokens::Access;

/// Whose request it is.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(gate): Shared, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let endpoint = Endpoint::of(request.uri().path());
    gate.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let _done = Done(&gate);
    let checked = match check(&gate, endpoint, &request) {
        Ok(()) => place(&gate).await,
        Err(refusal) => Err(refusal),
    };
    let response = match checked {
        Ok(_place) => next.run(request).await,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            // One who waits to be told whether to send it has not sent it.
            if !body.is_end_stream() && !parts.headers.contains_key(header::EXPECT) {
                gate.drain(body, BODY_BYTES_MAX).await;
            }
            refusal.into_response()
        }
    };
    let sent = response.body().size_hint().exact().unwrap_or(0);
    gate.metrics.bytes_out.fetch_add(sent, Ordering::Relaxed);
    gate.metrics
        .answered(endpoint, response.status().as_u16(), started.elapsed());
    response
}

struct Done<'a>(&'a Gate);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for a place among the requests.
async fn place(gate: &Gate) -> Outcome<SemaphorePermit<'_>> {
    match timeout(gate.limits.wait, gate.requests.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Refusal::busy()),
    }
}

fn check(gate: &Gate, endpoint: Endpoint, request: &Request) -> Outcome<()> {
    let client = request
        .extensions()
        .get::<Client>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0);
    if !gate.rate.allows(client) {
        gate.metrics.refused_rate.fetch_add(1, Ordering::Relaxed);
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests from this address; try again in a second",
        ));
    }
    if request.uri().path() == "/health" {
        return Ok(());
    }
    allowed(gate, endpoint, request)
}

fn allowed(gate: &Gate, endpoint: Endpoint, request: &Request) -> Outcome<()> {
    let header = request.headers().get(header::AUTHORIZATION);
    let may = gate.access(header.map(|value| value.as_bytes()));
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) || (*request.method() == Method::POST && endpoint != Endpoint::Put);
    let needs = if reads { Access::Read } else { Access::Write };
    if may >= needs {
        return Ok(());
    }
    gate.metrics.refused_access.fetch_add(1, Ordering::Relaxed);
    Err(if may == Access::None {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "token_needed",
            "a token is needed that this gateway knows: Authorization: Bearer TOKEN",
        )
    } else {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "read_only",
            "this token is for fetching only; to store, ask whoever runs the gateway for one that may write",
        )
    })
}
