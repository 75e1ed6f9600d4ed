//! Chunks, one at a time.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::response::Builder;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use safeos_record::{Address, Chunk, MAX_CHUNK_SIZE};
use safeos_store::{Error, Kind, Store};

use crate::answer::{Outcome, Refusal, address};
use crate::app_state::Shared;
use crate::memory_limiter::tie;
use crate::pieces::{LargeChunk, PIECE_BYTES, Pieces};
use crate::visit::Visit;

/// `GET`, and without the body `HEAD`.
pub(crate) async fn get(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(at): Path<String>,
    head: HeaderMap,
) -> Outcome {
    let at = address(&at)?;
    let range = head
        .get(header::RANGE)
        .and_then(|value| Range::parse(value.to_str().ok()?));
    let anew = head.contains_key(header::CACHE_CONTROL);
    if range.is_none()
        && !anew
        && let Some(len) = app.verified(&at).filter(|len| *len > PIECE_BYTES)
    {
        return answer(&at)
            .body(Body::new(Pieces(LargeChunk::new(app, visit, at, len))))
            .map_err(|error| Refusal::bad("bad_request", error.to_string()));
    }
    let room = app
        .memory
        .room(visit.network(), MAX_CHUNK_SIZE, visit.until);
    let mut room = room.await?;
    let found = app
        .store(&visit, move |store| match range {
            None => store
                .get_chunk(&at)
                .map(|chunk| Some(Part::whole(chunk.into_bytes()))),
            Some(range) => part(store, &at, range),
        })
        .await?
        .map_err(|error| app.refusal(&error))?;
    let Some(found) = found else {
        return Err(Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "bad_range",
            "the chunk has no such bytes",
        ));
    };
    if found.from.is_none() {
        app.is_verified(at, found.bytes.len());
    }
    room.shrink(found.bytes.len());
    let bytes = tie(found.bytes, room);
    let mut response = answer(&at);
    if let Some(from) = found.from {
        let last = from + bytes.len() as u64 - 1;
        let total = found
            .total
            .map_or("*".to_owned(), |total| total.to_string());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(
            header::CONTENT_RANGE,
            format!("bytes {from}-{last}/{total}"),
        );
    }
    response
        .body(Body::from(bytes))
        .map_err(|error| Refusal::bad("bad_request", error.to_string()))
}

fn answer(at: &Address) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{at}\""))
        // A chunk never changes: caches on the way may keep it.
        .header(header::CACHE_CONTROL, "max-age=31536000, immutable")
}

/// `PUT`: stored when it is answered.
pub(crate) async fn put(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(at): Path<String>,
    request: Request,
) -> Outcome {
    let at = address(&at)?;
    let body = app.body(&visit, request.into_body(), MAX_CHUNK_SIZE, 0);
    let (bytes, room) = body.await?;
    let visit = visit.goes_on(&app.limits);
    app.store(&visit, move |store| {
        let _room = room;
        let chunk = Chunk::verify(at, bytes)
            .map_err(|error| Refusal::bad("wrong_bytes", error.to_string()))?;
        Ok(store.put_chunks(&[chunk]))
    })
    .await??
    .map_err(|error| app.refusal(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE`, where it is allowed.
pub(crate) async fn delete(
    State(app): Shared,
    Extension(visit): Extension<Visit>,
    Path(at): Path<String>,
) -> Outcome {
    let at = address(&at)?;
    if !app.allow_delete {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "delete_not_allowed",
            "nothing is removed through this gateway: collect at its store itself, or have it started with --allow-delete",
        ));
    }
    let gone = app
        .store(&visit, move |store| store.delete_chunks(&[at]))
        .await?
        .map_err(|error| app.refusal(&error))?;
    if gone == 0 {
        return Err(app.refusal(&Error::Missing {
            kind: Kind::Chunk,
            address: at,
        }));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Bytes of a chunk.
struct Part {
    bytes: Bytes,
    /// Where they begin; `None` for all of them.
    from: Option<u64>,
    /// The chunk's length, if that was seen.
    total: Option<u64>,
}

impl Part {
    fn whole(bytes: Bytes) -> Self {
        Self {
            bytes,
            from: None,
            total: None,
        }
    }
}

/// One range of a header `Range`; several, and other units, are served as the whole, as HTTP allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Range {
    /// From here to there, both included, or to the end.
    From(u64, Option<u64>),
    /// This many at the end.
    Last(u64),
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }
}

/// A part of a chunk; `None` where it has no such bytes.
fn part(store: &dyn Store, at: &Address, range: Range) -> Result<Option<Part>, Error> {
    // A store that can reads no more than the requested range.
    if let Range::From(first, Some(last)) = range
        && last < MAX_CHUNK_SIZE as u64
    {
        let len = (last - first + 1) as u32;
        match store.read_part(at, first as u32, len) {
            Ok(bytes) => {
                return Ok(Some(Part {
                    bytes,
                    from: Some(first),
                    total: None,
                }));
            }
            // It ends before that, or it is damaged: the whole will tell.
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let bytes = store.get_chunk(at)?.into_bytes();
    let len = bytes.len() as u64;
    let (first, end) = match range {
        Range::From(first, last) => {
            let end = last.map_or(len, |last| len.min(last.saturating_add(1)));
            (first, end)
        }
        Range::Last(count) => (len.saturating_sub(count), len),
    };
    Ok((first < end).then(|| Part {
        bytes: bytes.slice(first as usize..end as usize),
        from: Some(first),
        total: Some(len),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_ignored() {
        for (text, range) in [
            ("bytes=0-9", Some(Range::From(0, Some(9)))),
            ("bytes=5-", Some(Range::From(5, None))),
            ("bytes=-5", Some(Range::Last(5))),
            ("bytes=9-0", None),
            ("bytes=0-9,20-29", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=1-99999999999999999999999", None),
            ("items=0-9", None),
            ("", None),
        ] {
            assert_eq!(Range::parse(text), range, "{text}");
        }
    }
}
