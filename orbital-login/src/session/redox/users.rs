//! The Redox user that a session runs as.
//!
//! What always holds here: a session never runs as root, and never as a user that was not made for its account:
//! who makes an account called like somebody on this computer does not get that person's files. A user
//! that was made for a session is removed with it.

use std::io;

use redox_users::{
    All, AllGroups, AllUsers, Config, GroupBuilder, UserBuilder, auth, is_valid_name,
};

use crate::user_error::UserError;

const SHELL: &str = "/bin/ion";
/// In the field for the full name: made here, for this account.
const MADE_FOR: &str = "SafeOS account ";
const GUEST: &str = "SafeOS guest";

/// A user of this computer.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

fn tables() -> Result<(AllUsers<auth::Full>, AllGroups), UserError> {
    let config = || Config::default().writeable(true);
    let users =
        AllUsers::authenticator(config()).map_err(|error| failed("the list of users", &error))?;
    let groups = AllGroups::new(config()).map_err(|error| failed("the list of groups", &error))?;
    Ok((users, groups))
}

/// The user of an account; made if there is none.
pub(super) fn for_account(account: &str) -> Result<Person, UserError> {
    // `;` parts the fields of the table.
    let full: String = account
        .chars()
        .filter(|c| !c.is_control() && *c != ';')
        .collect();
    let full = format!("{MADE_FOR}{full}");
    let hash = account
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let name = account.to_lowercase();
    make(
        [name, format!("safe-{:012x}", hash >> 16)],
        &full,
        "/scheme/safe/home",
    )
}

/// A user for one guest session.
pub(super) fn for_guest() -> Result<Person, UserError> {
    make(["guest".to_owned(), "safe-guest".to_owned()], GUEST, "/tmp")
}

/// The first of the names that is free, or is that of a user made for the same account.
fn make(names: [String; 2], full: &str, home: &str) -> Result<Person, UserError> {
    let (mut users, mut groups) = tables()?;
    let number = |id: usize| u32::try_from(id).map_err(|error| failed("the user's number", &error));
    for name in names.into_iter().filter(|name| is_valid_name(name)) {
        if let Some(user) = users.get_by_name(&name) {
            if user.name == full && user.uid >= 1000 {
                return Ok(Person {
                    uid: number(user.uid)?,
                    gid: number(user.gid)?,
                    name,
                });
            }
            continue;
        }
        let (Some(uid), Some(gid)) = (users.get_unique_id(), groups.get_unique_id()) else {
            return Err(failed(
                "no more users can be made",
                &"every number is taken",
            ));
        };
        if groups.get_by_name(&name).is_some() {
            continue;
        }
        let builder = UserBuilder::new(&name)
            .uid(uid)
            .gid(gid)
            .name(full)
            .home(home)
            .shell(SHELL);
        users
            .add_user(builder)
            .map_err(|error| failed("the user cannot be made", &error))?;
        groups
            .add_group(GroupBuilder::new(&name).gid(gid).user(&name))
            .map_err(|error| failed("the group cannot be made", &error))?;
        groups
            .save()
            .and_then(|()| users.save())
            .map_err(|error| failed("the list of users cannot be written", &error))?;
        return Ok(Person {
            name,
            uid: number(uid)?,
            gid: number(gid)?,
        });
    }
    Err(failed(
        "no user can be made",
        &"its names are taken by others",
    ))
}

/// Those that were made for sessions and are still there.
pub(super) fn made() -> Vec<Person> {
    let Ok((users, _)) = tables() else {
        return Vec::new();
    };
    (users.iter())
        .filter(|user| user.name.starts_with(MADE_FOR) || user.name == GUEST)
        .filter(|user| user.uid >= 1000)
        .filter_map(|user| {
            Some(Person {
                name: user.user.clone(),
                uid: u32::try_from(user.uid).ok()?,
                gid: u32::try_from(user.gid).ok()?,
            })
        })
        .collect()
}

/// Removes a user that was made for a session.
pub(super) fn remove(person: &Person) {
    // A user that cannot be removed now is found and used by the next session of the same account.
    if let Ok((mut users, mut groups)) = tables() {
        if users.remove_by_name(person.name.clone()) {
            let _ = users.save();
        }
        if groups.remove_by_name(person.name.clone()) {
            let _ = groups.save();
        }
    }
}

/// Becomes the user for good. There are no supplementary groups to leave behind: init starts this program without
/// any, and older C libraries of Redox know none.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (uid as libc::uid_t, gid as libc::gid_t);
    // SAFETY: takes numbers.
    unsafe {
        if libc::setresgid(gid, gid, gid) != 0 || libc::setresuid(uid, uid, uid) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Does something as the user, and is root again. The process is root for its other threads as little as for
/// this one meanwhile; they only draw.
pub(super) fn acting_as<T>(person: &Person, what: impl FnOnce() -> T) -> Result<T, UserError> {
    let same = libc::uid_t::MAX;
    // SAFETY: takes numbers.
    let become_effective = |uid: libc::uid_t| unsafe { libc::setresuid(same, uid, same) == 0 };
    if !become_effective(person.uid as libc::uid_t) {
        return Err(failed(
            "cannot act as the user",
            &io::Error::last_os_error(),
        ));
    }
    let done = what();
    if !become_effective(0) {
        // Nothing works from here on; the process that started this one starts it again.
        std::process::exit(1);
    }
    Ok(done)
}

/// The error of a step for a user.
pub(super) fn failed(what: &str, error: &dyn std::fmt::Display) -> UserError {
    UserError::new("user_failed", format!("{what}: {error}"))
}
