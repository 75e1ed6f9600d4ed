//! Bodies that come in parts, each with a request of its own: for computers whose network loses what does not fit its
//! buffers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use safeos_store::wire::{ADDRESS_LEN, BODY_BYTES_MAX, HAS_MAX, PART_BYTES_MAX};
use tokio::time::sleep_until;

use crate::answer::{Outcome, Refusal, address};
use crate::app_state::{AppState, Shared};
use crate::assembly::Assembly;
use crate::bodies::too_large;
use crate::halves::{Part, refused};
use crate::tokens::Access;
use crate::visit::Visit;

/// `PUT /v1/bodies/ID?at=OFFSET&of=TOTAL`: held when it is answered.
pub(crate) async fn put(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Outcome {
    let key = (visit.client, address(&id)?);
    let (at, of) = place(&query.unwrap_or_default())?;
    let most = match visit.may {
        Access::Write => BODY_BYTES_MAX,
        // The longest body of clients that only fetch.
        _ => HAS_MAX * ADDRESS_LEN,
    };
    if of > most {
        return Err(too_large(most));
    }
    let body = app.body(&visit, request.into_body(), PART_BYTES_MAX, 0);
    let (bytes, rooms) = body.await?;
    Assembly::fits(of, at, bytes.len()).map_err(refused)?;
    let part = Part { key, at, of, bytes };
    if !app.halves.put(&part)? {
        // No request holds memory while waiting for more; a part is small.
        drop(rooms);
        let until = visit.goes_on(&app.limits).until;
        let rooms = app.halves.room(&app.memory, &part, until).await?;
        if app.halves.begin(&part, rooms)? {
            tokio::spawn(forget_late(app.clone()));
        }
        // As good as never gone again already.
        if !app.halves.put(&part)? {
            return Err(Refusal::busy());
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Looks after half bodies as long as there are some.
async fn forget_late(app: Arc<AppState>) {
    while let Some(next) = app.halves.forget_late(&app.memory) {
        sleep_until(next).await;
    }
}

/// `at=OFFSET&of=TOTAL`
fn place(query: &str) -> Outcome<(usize, usize)> {
    let (mut at, mut of) = (None, None);
    for pair in query.split('&') {
        let (name, number) = pair.split_once('=').unwrap_or((pair, ""));
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse::<usize>().ok().filter(|_| digits);
        match name {
            "at" if at.is_none() => at = number,
            "of" if of.is_none() => of = number,
            _ => return Err(no_place()),
        }
    }
    at.zip(of).filter(|(_, of)| *of > 0).ok_or_else(no_place)
}

fn no_place() -> Refusal {
    Refusal::bad(
        "bad_query",
        "say where the part belongs: at=OFFSET&of=TOTAL, in bytes; TOTAL is the length of the whole body",
    )
}
