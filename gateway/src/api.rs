//! The handler of each path.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use crate::answer::Refusal;
use crate::app_state::AppState;
use crate::guard::guard;
use crate::{about, batches, chunks, parts, pointers};

pub(crate) fn router(app: Arc<AppState>) -> Router {
    Router::new()
        .route("/v1/chunks/has", post(batches::has))
        .route("/v1/chunks/get", post(batches::get))
        .route("/v1/chunks/put", post(batches::put))
        .route(
            "/v1/chunks/{address}",
            get(chunks::get).put(chunks::put).delete(chunks::delete),
        )
        .route("/v1/bodies/{id}", put(parts::put))
        .route("/v1/pointers/{address}", get(pointers::get).put(pointers::put))
        .route("/v1/list", get(about::list))
        .route("/v1/stats", get(about::stats))
        .route("/health", get(about::health))
        .route("/metrics", get(about::metrics))
        .fallback(|| async {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "no_such_path",
                "there is nothing at this path; records are under /v1/chunks/ADDRESS and /v1/pointers/ADDRESS",
            )
        })
        .method_not_allowed_fallback(|| async {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method; the header Allow says which it takes",
            )
        })
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}
