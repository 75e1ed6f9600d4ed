//! Checks of every request before any work: client, rate, number at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Body as _;
use safeos_store::wire::{BODY, BODY_BYTES_MAX, MARK, MARK_VERSION, ROOM};
use safeos_telemetry::{Instrument as _, event, task_span};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Outcome, Refusal};
use crate::app_state::{AppState, Shared};
use crate::clients::network;
use crate::connections::Connection;
use crate::metrics::Endpoint;
use crate::tokens::Access;
use crate::visit::{Peer, Visit};
use crate::watchers::Wanted;

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(app): Shared, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let endpoint = match Endpoint::of(request.uri().path()) {
        Endpoint::Pointer if waits(&request) => Endpoint::Watch,
        other => other,
    };
    let visit = visit(&app, endpoint, &request, started);
    request.extensions_mut().insert(visit.clone());
    app.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let _done = Done(&app);
    let checked = match check(&app, &visit, endpoint, &request) {
        // It takes one whenever it looks.
        Ok(()) if endpoint == Endpoint::Watch => Ok(None),
        Ok(()) => place(&app, &visit).await.map(Some),
        Err(refusal) => Err(refusal),
    };
    let mut response = match checked {
        Ok(_place) => {
            let span = task_span!(DEBUG, "request", endpoint = endpoint.name());
            next.run(request).instrument(span).await
        }
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            // A client that expects `100 Continue` has not sent its body.
            if !body.is_end_stream() && !parts.headers.contains_key(header::EXPECT) {
                app.drain(&visit, body, BODY_BYTES_MAX).await;
            }
            refusal.into_response()
        }
    };
    let status = response.status();
    let head = response.headers_mut();
    head.insert(MARK, HeaderValue::from_static(MARK_VERSION));
    if let Some(room) = app.lately.room()
        && status.is_success()
    {
        head.insert(ROOM, room);
    }
    // A client that has sent parts must know that they were used: without them it is another request.
    if let Some(id) = visit.body.and_then(|id| HeaderValue::from_str(&id).ok())
        && status.is_success()
    {
        head.insert(BODY, id);
    }
    let sent = response.body().size_hint().exact().unwrap_or(0);
    app.metrics.bytes_out.fetch_add(sent, Ordering::Relaxed);
    let (status, took) = (status.as_u16(), started.elapsed());
    app.metrics.answered(endpoint, status, took);
    event!(
        DEBUG,
        "answered",
        endpoint = endpoint.name(),
        status = status,
        bytes = sent,
        ms = took
    );
    response
}

struct Done<'a>(&'a AppState);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose request it is, and how long it may wait.
fn visit(app: &AppState, endpoint: Endpoint, request: &Request, now: Instant) -> Visit {
    let peer = request.extensions().get::<Peer>();
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let address = peer.map_or(unknown, |peer| peer.address);
    let header = request.headers().get(header::AUTHORIZATION);
    let (may, token) = app.access(header.map(|value| value.as_bytes()));
    // Other requests with a body may use one that was sent before.
    let takes =
        matches!(*request.method(), Method::PUT | Method::POST) && endpoint != Endpoint::Body;
    let body = request.headers().get(BODY).filter(|_| takes);
    Visit {
        client: (
            network(app.proxies.client(address, request.headers())),
            token,
        ),
        may,
        body: body.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
        connection: peer.map_or_else(Connection::new, |peer| peer.connection.clone()),
        until: now + app.limits.wait,
    }
}

/// Whether a request for a pointer waits for it to move.
fn waits(request: &Request) -> bool {
    *request.method() == Method::GET && Wanted::of(request.headers()).is_some()
}

/// Waits for a place among the requests.
pub(crate) async fn place<'a>(app: &'a AppState, visit: &Visit) -> Outcome<SemaphorePermit<'a>> {
    match timeout_at(visit.until, app.requests.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Refusal::busy()),
    }
}

fn check(app: &AppState, visit: &Visit, endpoint: Endpoint, request: &Request) -> Outcome<()> {
    if !app.rate.allows(visit.client) {
        app.metrics.refused_rate.fetch_add(1, Ordering::Relaxed);
        return Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests from this address; try again in a second",
        ));
    }
    if request.uri().path() == "/health" {
        return Ok(());
    }
    allowed(app, visit.may, endpoint, request)
}

fn allowed(app: &AppState, may: Access, endpoint: Endpoint, request: &Request) -> Outcome<()> {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) || (*request.method() == Method::POST && endpoint != Endpoint::Put)
        // Rights to the request made of the parts are checked when it comes.
        || endpoint == Endpoint::Body;
    let needs = if reads { Access::Read } else { Access::Write };
    if may >= needs {
        return Ok(());
    }
    app.metrics.refused_access.fetch_add(1, Ordering::Relaxed);
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
