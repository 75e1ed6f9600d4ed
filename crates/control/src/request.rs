use std::fmt;

use serde::de::value::{MapDeserializer, UnitDeserializer};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{PathText, Price, Secret};

/// Makes an account and signs in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// The URL of the store; the daemon's default when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// A secret key that the person already has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// The private key of the wallet that pays, on a store where records are paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_key: Option<Secret>,
    /// Generate a secret key. It is shown before the account is made and in the answer; a client that makes the key has
    /// it surely.
    #[serde(default)]
    pub generate_secret_key: bool,
    /// Keep what is needed to sign in offline.
    #[serde(default)]
    pub remember: bool,
    /// Guard the password with 64 MiB instead of 256 MiB, for computers with little memory.
    #[serde(default)]
    pub small_memory: bool,
    /// The words of a recovery key that the person already has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<Secret>,
    /// Make a recovery key. It is shown as a secret key is that is generated.
    #[serde(default)]
    pub generate_recovery_key: bool,
}

/// Opens the home of an account whose password is forgotten, and sets a new one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// The words of the recovery sheet.
    pub recovery_key: Secret,
    /// Only if the account is called so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The password that is to hold.
    pub new_password: Secret,
    /// The URL of the store; the daemon's default when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Keep what is needed to sign in offline.
    #[serde(default)]
    pub remember: bool,
    /// Accept a state older than this computer has seen.
    #[serde(default)]
    pub accept_older: bool,
}

/// Makes a recovery key, or another one in the place of the one there is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRecoveryKey {
    /// The password that holds: an open session alone must not be enough.
    pub password: Secret,
    /// The words of the key, which the person already has; when missing one is made, and shown before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<Secret>,
}

/// Asks whether this is the password that holds; nothing is done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPassword {
    /// The typed password.
    pub password: Secret,
}

/// Opens an account's home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// The URL of the store; the daemon's default when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The secret key, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// Keep what is needed to sign in offline.
    #[serde(default)]
    pub remember: bool,
    /// Accept a state older than this computer has seen.
    #[serde(default)]
    pub accept_older: bool,
    /// Go on waiting for a store that does not answer, also where this computer remembers the account and could open it
    /// without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait: bool,
}

/// Publishes and ends the session.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOut {
    /// Forget the account on this computer too.
    #[serde(default)]
    pub wipe: bool,
    /// If publishing fails, keep the changes in the encrypted stage and end the session all the same.
    #[serde(default)]
    pub keep_stage: bool,
    /// Do not publish at all: the changes stay in the encrypted stage until the next sign-in on this computer.
    #[serde(default)]
    pub later: bool,
    /// Also while files are open for writing, and while others have joined the session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// Takes part in the session that is open, until this conversation is closed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// From now on the session ends with the last one that has joined it.
    #[serde(default)]
    pub bound: bool,
}

/// Changes the password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The one that holds.
    pub old: Secret,
    /// The one that is to hold.
    pub new: Secret,
}

/// Publishes a file or folder of the home for everybody who is given its URL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// From the root of the home.
    pub path: PathText,
}

/// Lists the published states, newest last.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// At most so many of the newest; all when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Puts a path as it was in a snapshot into the home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The snapshot's name.
    pub snapshot: String,
    /// From the root of the home.
    pub path: PathText,
    /// Where to; the path itself when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<PathText>,
    /// Replace what is there.
    #[serde(default)]
    pub replace: bool,
}

/// Removes this account's records that nothing refers to.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
    /// A computer that will not come back: records that only it needs are removed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Copies the account, the home and its history to another store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The URL of the other store.
    pub to: String,
}

/// Agrees to the cost of one upload from now on, where records are paid for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    /// Tokens of the network, as a decimal number.
    pub max: String,
}

/// No arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A request to the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make an account and sign in.
    SignUp(SignUp),
    /// Say what making an account costs.
    Price(Price),
    /// Open an account's home.
    SignIn(SignIn),
    /// Open an account's home without its password, and set a new one.
    Recover(Recover),
    /// Publish and end the session.
    SignOut(SignOut),
    /// Take part in the session that is open.
    Join(Join),
    /// Leave the session, unless this is the last member, with which it ends.
    Leave,
    /// How things stand.
    Status,
    /// Publish now.
    Sync,
    /// Change the password.
    ChangePassword(ChangePassword),
    /// Say whether a password is the right one.
    CheckPassword(CheckPassword),
    /// Make or replace the recovery key.
    NewRecoveryKey(NewRecoveryKey),
    /// Publish a path for others.
    Publish(Publish),
    /// List the published states.
    Log(Log),
    /// Bring a path back from a snapshot.
    Restore(Restore),
    /// Read everything the home and its history refer to.
    Check,
    /// Remove records that nothing refers to.
    Collect(Collect),
    /// Copy everything to another store.
    Copy(Copy),
    /// Agree to the cost of an upload.
    Spend(Spend),
    /// The daemon's metrics.
    Metrics,
    /// The contents of a fault report, without anybody's names.
    Doctor,
}

const NAMES: &[&str] = &[
    "sign_up",
    "price",
    "sign_in",
    "recover",
    "sign_out",
    "join",
    "leave",
    "status",
    "sync",
    "change_password",
    "check_password",
    "new_recovery_key",
    "publish",
    "log",
    "restore",
    "check",
    "collect",
    "copy",
    "spend",
    "metrics",
    "doctor",
];

impl Request {
    /// The request's name in the protocol.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignUp(_) => "sign_up",
            Self::Price(_) => "price",
            Self::SignIn(_) => "sign_in",
            Self::Recover(_) => "recover",
            Self::SignOut(_) => "sign_out",
            Self::Join(_) => "join",
            Self::Leave => "leave",
            Self::Status => "status",
            Self::Sync => "sync",
            Self::ChangePassword(_) => "change_password",
            Self::CheckPassword(_) => "check_password",
            Self::NewRecoveryKey(_) => "new_recovery_key",
            Self::Publish(_) => "publish",
            Self::Log(_) => "log",
            Self::Restore(_) => "restore",
            Self::Check => "check",
            Self::Collect(_) => "collect",
            Self::Copy(_) => "copy",
            Self::Spend(_) => "spend",
            Self::Metrics => "metrics",
            Self::Doctor => "doctor",
        }
    }

    /// A request by its name; `arguments` reads its arguments.
    fn by_name<E: Error>(name: &str, arguments: impl Arguments<E>) -> Result<Self, E> {
        Ok(match name {
            "sign_up" => Self::SignUp(arguments.read()?),
            "price" => Self::Price(arguments.read()?),
            "sign_in" => Self::SignIn(arguments.read()?),
            "recover" => Self::Recover(arguments.read()?),
            "sign_out" => Self::SignOut(arguments.read()?),
            "join" => Self::Join(arguments.read()?),
            "leave" => arguments.read().map(|Nothing {}| Self::Leave)?,
            "status" => arguments.read().map(|Nothing {}| Self::Status)?,
            "sync" => arguments.read().map(|Nothing {}| Self::Sync)?,
            "change_password" => Self::ChangePassword(arguments.read()?),
            "check_password" => Self::CheckPassword(arguments.read()?),
            "new_recovery_key" => Self::NewRecoveryKey(arguments.read()?),
            "publish" => Self::Publish(arguments.read()?),
            "log" => Self::Log(arguments.read()?),
            "restore" => Self::Restore(arguments.read()?),
            "check" => arguments.read().map(|Nothing {}| Self::Check)?,
            "collect" => Self::Collect(arguments.read()?),
            "copy" => Self::Copy(arguments.read()?),
            "spend" => Self::Spend(arguments.read()?),
            "metrics" => arguments.read().map(|Nothing {}| Self::Metrics)?,
            "doctor" => arguments.read().map(|Nothing {}| Self::Doctor)?,
            _ => {
                let short: String = name.chars().take(40).collect();
                return Err(E::unknown_variant(&short, NAMES));
            }
        })
    }
}

/// Where a request's arguments come from.
trait Arguments<E> {
    fn read<T: DeserializeOwned>(self) -> Result<T, E>;
}

/// A bare name: none are given.
struct Bare;

impl<E: Error> Arguments<E> for Bare {
    fn read<T: DeserializeOwned>(self) -> Result<T, E> {
        let none = std::iter::empty::<(UnitDeserializer<E>, UnitDeserializer<E>)>();
        T::deserialize(MapDeserializer::new(none))
    }
}

/// The value behind the name.
struct Given<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> Arguments<A::Error> for Given<'_, A> {
    fn read<T: DeserializeOwned>(self) -> Result<T, A::Error> {
        self.0.next_value()
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneRequest;
        impl<'de> Visitor<'de> for OneRequest {
            type Value = Request;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request: its name, or an object with its name and arguments")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Request, E> {
                Request::by_name(name, Bare)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
                let name: String = map
                    .next_key()?
                    .ok_or_else(|| A::Error::custom("the request has no name"))?;
                let request = Request::by_name(&name, Given(&mut map))?;
                match map.next_key::<String>()? {
                    None => Ok(request),
                    Some(_) => Err(A::Error::custom("a line holds one request only")),
                }
            }
        }
        deserializer.deserialize_any(OneRequest)
    }
}
