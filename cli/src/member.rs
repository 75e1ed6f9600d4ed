//! Taking part in a session that is open: the second `safe run` of an account joins the first, and the last one out
//! publishes and signs out.

use std::path::Path;
use std::time::{Duration, Instant};

use safeos_control::{Client, ClientError, Join, Request};
use serde_json::Value;

use crate::daemon;
use crate::failure::{Failure, Result};
use crate::signals;

/// A session that is just beginning or ending is waited for.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// A daemon whose session has ended ends too, within a moment.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A member of a session; the daemon notices when this is dropped, and when this program is killed.
pub struct Member(Client);

impl Member {
    /// Joins the session at `mount` if there is one, which must be that account's on that store.
    /// `starting` says whether another run of `safe` is about to sign in there.
    pub fn of_open(
        mount: &Path,
        account: &str,
        store: &str,
        starting: impl Fn() -> bool,
    ) -> Result<Option<Self>> {
        let start = Instant::now();
        loop {
            let mut client = match Client::open(mount) {
                Ok(client) => client,
                Err(ClientError::NoDaemon(_) | ClientError::DaemonGone(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match client.call(&Request::Join(Join { bound: false }), |_| ()) {
                Ok(open) => {
                    same(mount, &open, account, store)?;
                    return Ok(Some(Self(client)));
                }
                Err(ClientError::Refused(reply)) if reply.code == "no_session" => {
                    if daemon::SHARED {
                        return Ok(None);
                    }
                    // No sign-in is about to begin there: it ends soon, or not at all.
                    if start.elapsed() > ENDS_WITHIN && !starting() {
                        return Err(Failure::new(
                            "in_use",
                            format!(
                                "a daemon serves {} in which nobody is signed in: end it with `safe logout --mount {}`",
                                mount.display(),
                                mount.display()
                            ),
                        ));
                    }
                }
                Err(ClientError::Refused(reply)) if reply.code == "ending" => {}
                // It ended just now.
                Err(ClientError::DaemonGone(_) | ClientError::Ended) => {}
                Err(error) => return Err(error.into()),
            }
            drop(client);
            if let Some(signal) = signals::asked() {
                return Err(Failure::stopped(signal));
            }
            if start.elapsed() > SETTLES_WITHIN {
                return Err(Failure::new(
                    "in_use",
                    format!(
                        "the session at {} is just beginning or ending, and is not done with it within {} seconds: `safe status --mount {}` says what it waits for; try again then",
                        mount.display(),
                        SETTLES_WITHIN.as_secs(),
                        mount.display()
                    ),
                ));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Takes part in the session that this program has opened; it ends with the last one that does.
    pub fn first(mount: &Path) -> Result<Self> {
        let mut client = Client::open(mount)?;
        client.call(&Request::Join(Join { bound: true }), |_| ())?;
        Ok(Self(client))
    }

    /// Whether this is the last one, which has to sign out. Else it takes part no longer.
    pub fn leave(&mut self) -> Result<bool> {
        let answer = self.0.call(&Request::Leave, |_| ())?;
        Ok(answer.get("last").and_then(Value::as_bool) == Some(true))
    }
}

/// Whether the open session is the one that is meant.
fn same(mount: &Path, open: &Value, account: &str, store: &str) -> Result<()> {
    let text = |name: &str| open.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("account") == account && text("store") == store {
        return Ok(());
    }
    Err(Failure::new(
        "in_use",
        format!(
            "a session of {} on {} is open at {}: end it first, or give {account} a folder of its own with --mount (always the same one: programs write the path of HOME down)",
            text("account"),
            text("store"),
            mount.display()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_account_or_store_is_not_joined() {
        let open = serde_json::json!({"account": "ana", "store": "file:///s"});
        let mount = Path::new("/m");
        assert!(same(mount, &open, "ana", "file:///s").is_ok());
        for (account, store) in [("ben", "file:///s"), ("ana", "file:///t")] {
            let failure = same(mount, &open, account, store).unwrap_err();
            assert_eq!(failure.code, "in_use");
            assert!(failure.message.contains("--mount"), "{}", failure.message);
        }
    }

    #[test]
    fn where_nothing_is_mounted_there_is_nothing_to_join() {
        let folder = tempfile::tempdir().unwrap();
        let joined = Member::of_open(folder.path(), "ana", "file:///s", || false).unwrap();
        assert!(joined.is_none());
    }
}
