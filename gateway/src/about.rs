//! A gateway's report on its store and itself.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use safeos_record::Address;
use safeos_store::wire::{DIGEST, LIST_MAX, Listed, Page, read_place, write_place};

use crate::answer::{Outcome, Refusal};
use crate::app_state::Shared;
use crate::visit::Visit;

/// `GET /v1/list?after=KIND:ADDRESS&limit=N`
pub(crate) async fn list(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    RawQuery(query): RawQuery,
) -> Outcome {
    let mut after = None;
    let mut limit = LIST_MAX;
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        match pair.split_once('=') {
            // A colon may come as it is or escaped.
            Some(("after", place)) => {
                let place = place.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
                after = Some(read_place(&place).ok_or_else(|| {
                    Refusal::bad(
                        "bad_query",
                        "after must be chunk:ADDRESS or pointer:ADDRESS",
                    )
                })?);
            }
            Some(("limit", number)) => {
                limit = number
                    .parse::<usize>()
                    .ok()
                    .filter(|limit| (1..=LIST_MAX).contains(limit))
                    .ok_or_else(|| {
                        Refusal::bad("bad_query", format!("limit must be from 1 to {LIST_MAX}"))
                    })?;
            }
            _ => {
                return Err(Refusal::bad(
                    "bad_query",
                    "only after and limit can be asked for",
                ));
            }
        }
    }
    let entries = app
        .store(&visit, move |store| store.list(after, limit))
        .await?
        .map_err(|error| app.refusal(&error))?;
    let page = Page {
        after: after.map(write_place),
        records: entries.into_iter().map(Listed::from).collect(),
    };
    digested(&page)
}

/// An answer that has no address to be checked by.
fn digested(value: &impl serde::Serialize) -> Outcome {
    let broken =
        |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "gateway_failed", error);
    let body = serde_json::to_vec(value).map_err(|error| broken(error.to_string()))?;
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(DIGEST, Address::of(&body).to_string())
        .body(Body::from(body))
        .map_err(|error| broken(error.to_string()))
}

/// `GET /v1/stats`
pub(crate) async fn stats(State(app): Shared, Extension(visit): Extension<Visit>) -> Outcome {
    let stats = app
        .store(&visit, |store| store.stats())
        .await?
        .map_err(|error| app.refusal(&error))?;
    digested(&stats)
}

/// `GET /health`: whether records can be had and stored.
pub(crate) async fn health(State(app): Shared, Extension(visit): Extension<Visit>) -> Outcome {
    app.store(&visit, |store| store.has_chunks(&[Address([0; 32])]))
        .await?
        .map_err(|error| app.refusal(&error))?;
    let says = serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")});
    Ok(Json(says).into_response())
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): Shared) -> Response {
    let text = app.metrics.text(app.memory.taken(), &app.halves.held());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
