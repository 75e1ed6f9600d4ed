//! Locking the screen of a session that the sign-in screen has started.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use safeos_control::LOCK_VARIABLE;
use serde_json::json;

use super::Context;
use crate::failure::{Failure, Result};

/// The longest answer.
const ANSWER_MAX: u64 = 4096;

/// Has the sign-in screen cover the session.
pub fn lock(context: &Context) -> Result<()> {
    let Some(place) = std::env::var_os(LOCK_VARIABLE).filter(|place| !place.is_empty()) else {
        return Err(Failure::new(
            "no_lock",
            "this session has no sign-in screen that could cover it: `orbital-login` starts one that has",
        ));
    };
    let ask = || -> io::Result<String> {
        let mut answer = String::new();
        let screen = UnixStream::connect(&place)?;
        screen.take(ANSWER_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| {
        Failure::system(
            format!(
                "the sign-in screen cannot be asked at {}",
                place.to_string_lossy()
            ),
            &error,
        )
    })?;
    match answer.trim() {
        "ok" => context.output.answer(&json!({}), || "locked".to_owned()),
        why => Err(Failure::new(
            "not_locked",
            format!("the session is not locked: {why}"),
        )),
    }
}
