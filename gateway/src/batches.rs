//! Several chunks with one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use safeos_record::{Address, MAX_CHUNK_SIZE};
use safeos_store::Error;
use safeos_store::wire::{self, ADDRESS_LEN, BODY_BYTES_MAX, GET_MAX, HAS_MAX};
use tokio::sync::mpsc;

use crate::answer::{Outcome, Refusal};
use crate::app_state::{AppState, Shared};
use crate::memory_limiter::tie;
use crate::pieces::Pieces;
use crate::visit::Visit;

/// How many chunks are read with one call of the store.
const STEP: usize = 4;

async fn addresses(app: &AppState, visit: &Visit, body: Body, max: usize) -> Outcome<Vec<Address>> {
    let (body, _room) = app.body(visit, body, max * ADDRESS_LEN, 0).await?;
    wire::read_addresses(&body, max).ok_or_else(|| {
        Refusal::bad(
            "bad_body",
            format!("the body must be from 1 to {max} addresses of {ADDRESS_LEN} bytes each"),
        )
    })
}

/// `POST /v1/chunks/has`
pub(crate) async fn has(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Outcome {
    let addresses = addresses(&app, &visit, request.into_body(), HAS_MAX).await?;
    let there = app
        .store(&visit, move |store| {
            store.has_chunks(&addresses).map(|there| {
                let there = addresses.iter().zip(there).filter(|(_, there)| *there);
                there.map(|(address, _)| *address).collect::<Vec<_>>()
            })
        })
        .await?
        .map_err(|error| app.refusal(&error))?;
    Ok(Bytes::from(wire::write_addresses(&there)).into_response())
}

/// `POST /v1/chunks/put`: all of them are stored when it is answered.
pub(crate) async fn put(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Outcome {
    // The chunks are copies of their own.
    let body = app.body(&visit, request.into_body(), BODY_BYTES_MAX, 1);
    let (body, room) = body.await?;
    let visit = visit.goes_on(&app.limits);
    app.store(&visit, move |store| {
        let _room = room;
        let chunks = wire::read_chunks(body).map_err(|why| Refusal::bad("wrong_bytes", why))?;
        Ok(store.put_chunks(&chunks))
    })
    .await??
    .map_err(|error| app.refusal(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/chunks/get`: an answer for each, in order, while they are read.
pub(crate) async fn get(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Outcome {
    let addresses = addresses(&app, &visit, request.into_body(), GET_MAX).await?;
    let (say, heard) = mpsc::channel(1);
    tokio::spawn(answer(app, visit, addresses, say));
    Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(Body::new(Pieces(heard)))
        .map_err(|error| Refusal::bad("bad_request", error.to_string()))
}

/// Sends answers as long as the client reads. A failure within ends the answer early, which its reader notices.
async fn answer(
    app: Arc<AppState>,
    visit: Visit,
    addresses: Vec<Address>,
    say: mpsc::Sender<Bytes>,
) {
    for step in addresses.chunks(STEP) {
        let asked = step.to_vec();
        let visit = visit.goes_on(&app.limits);
        let needed = step.len() * MAX_CHUNK_SIZE;
        let room = app.memory.room(visit.network(), needed, visit.until);
        let Ok(mut room) = room.await else {
            return;
        };
        let found = app
            .store(&visit, move |store| store.get_chunks(&asked))
            .await;
        let Ok(found) = found else { return };
        let parts: Vec<Bytes> = found
            .into_iter()
            .flat_map(|outcome| match outcome {
                Ok(chunk) => {
                    let len = chunk.bytes().len();
                    let head = wire::answer_head(wire::Outcome::Found, len);
                    [Bytes::copy_from_slice(&head), chunk.into_bytes()]
                }
                Err(error) => told(&app, &error),
            })
            .collect();
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        app.metrics
            .bytes_out
            .fetch_add(bytes as u64, Ordering::Relaxed);
        room.shrink(bytes);
        let room = Arc::new(room);
        for part in parts {
            if say.send(tie(part, room.clone())).await.is_err() {
                return;
            }
        }
    }
}

fn told(app: &AppState, error: &Error) -> [Bytes; 2] {
    let outcome = match error {
        Error::Missing { address, .. } => {
            let head = wire::answer_head(wire::Outcome::Missing, ADDRESS_LEN);
            return [head.to_vec().into(), address.as_bytes().to_vec().into()];
        }
        Error::Damaged { .. } => wire::Outcome::Damaged,
        _ => wire::Outcome::Failed,
    };
    let mut message = app.refusal(error).message.into_bytes();
    message.truncate(wire::MESSAGE_BYTES_MAX);
    let head = wire::answer_head(outcome, message.len());
    [Bytes::copy_from_slice(&head), message.into()]
}
