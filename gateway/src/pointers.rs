//! Pointers: the newest state of each, and its replacement by the next one.
//!
//! What always holds here: a state is stored only if its owner signed it, for this address, and only in
//! the place of the state that its sender has seen.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use safeos_record::{Address, POINTER_LEN, Pointer};
use safeos_store::wire::{PREFERENCE_APPLIED, read_tag, tag};
use safeos_store::{Error, Kind};
use tokio::time::Instant;

use crate::answer::{Outcome, Refusal, address};
use crate::app_state::{AppState, Shared};
use crate::guard::place;
use crate::visit::Visit;
use crate::watchers::Wanted;

/// `GET`: the record, and its counter as the entity tag. A client that has seen this counter and waits is answered when
/// there is another one, or that there is none.
pub(crate) async fn get(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(at): Path<String>,
    head: HeaderMap,
) -> Outcome {
    let at = address(&at)?;
    let Some(wanted) = Wanted::of(&head) else {
        let found = look(&app, &visit, at).await?;
        return answer(&app, at, found);
    };
    let watch = app.watchers.watch(at);
    loop {
        let visit = visit.goes_on(&app.limits);
        let looking = async {
            let _place = place(&app, &visit).await?;
            look(&app, &visit, at).await
        };
        let (found, wait) = watch.look(wanted.until, looking).await;
        let found = found?;
        let is_seen = found.as_ref().map(Pointer::counter) == Some(wanted.seen);
        // The connection may go for another one meanwhile.
        visit.connection.waits(Instant::now());
        let is_over = !is_seen || !wait.await;
        visit.connection.goes_on();
        if !is_over {
            continue;
        }
        let mut response = if is_seen {
            let mut same: Response = StatusCode::NOT_MODIFIED.into_response();
            counter(same.headers_mut(), wanted.seen);
            same
        } else {
            answer(&app, at, found)?
        };
        let head = response.headers_mut();
        head.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
        return Ok(response);
    }
}

async fn look(app: &AppState, visit: &Visit, at: Address) -> Outcome<Option<Pointer>> {
    app.store(visit, move |store| store.get_pointer(&at))
        .await?
        .map_err(|error| app.refusal(&error))
}

fn answer(app: &AppState, at: Address, found: Option<Pointer>) -> Outcome {
    let Some(pointer) = found else {
        return Err(app.refusal(&Error::Missing {
            kind: Kind::Pointer,
            address: at,
        }));
    };
    let mut response = Bytes::copy_from_slice(pointer.as_bytes()).into_response();
    let head = response.headers_mut();
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    counter(head, pointer.counter());
    Ok(response)
}

/// `PUT`: compare and set.
pub(crate) async fn put(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(at): Path<String>,
    request: Request,
) -> Outcome {
    let at = address(&at)?;
    let expected = condition(request.headers())?;
    let body = app.body(&visit, request.into_body(), POINTER_LEN, 0);
    let (bytes, room) = body.await?;
    let visit = visit.goes_on(&app.limits);
    let set = app
        .store(&visit, move |store| {
            let _room = room;
            let pointer = Pointer::parse(&bytes)
                .map_err(|error| Refusal::bad("wrong_bytes", error.to_string()))?;
            if pointer.address() != at {
                return Err(Refusal::bad(
                    "wrong_address",
                    format!("this is the pointer {}, not {at}", pointer.address()),
                ));
            }
            Ok(store
                .set_pointer(&pointer, expected)
                .map(|()| pointer.counter()))
        })
        .await??
        .map_err(|error| app.refusal(&error))?;
    app.watchers.moved(&at);
    let mut response: Response = StatusCode::NO_CONTENT.into_response();
    counter(response.headers_mut(), set);
    Ok(response)
}

fn counter(head: &mut HeaderMap, counter: u64) {
    if let Ok(value) = HeaderValue::from_str(&tag(counter)) {
        head.insert(header::ETAG, value);
    }
}

/// The counter that is expected there: exactly one of the two conditions is needed.
fn condition(head: &HeaderMap) -> Outcome<Option<u64>> {
    let one = |name| {
        let mut values = head.get_all(name).iter();
        let first = values
            .next()
            .map(|value| value.to_str().unwrap_or_default());
        // Two of them are as wrong as one that cannot be read.
        if values.next().is_some() {
            Some("")
        } else {
            first
        }
    };
    match (one(header::IF_MATCH), one(header::IF_NONE_MATCH)) {
        (None, Some("*")) => Ok(None),
        (Some(value), None) => read_tag(value).map(Some).ok_or_else(|| {
            Refusal::bad(
                "bad_condition",
                "If-Match must be one counter in quotes, as the ETag of the pointer has it",
            )
        }),
        (None, None) => Err(Refusal::new(
            StatusCode::PRECONDITION_REQUIRED,
            "condition_needed",
            "say what you have seen: If-Match: \"COUNTER\", or If-None-Match: * for a new pointer",
        )),
        _ => Err(Refusal::bad(
            "bad_condition",
            "one of If-Match: \"COUNTER\" and If-None-Match: * is needed",
        )),
    }
}
