//! Replies to the kernel out of answers of the front.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyXattr};

use super::convert;
use super::front::{Answer, Found};

pub fn entry(reply: ReplyEntry, found: Answer<Found>) {
    match found {
        Ok(found) => reply.entry_with_ttls(
            &found.attr_valid,
            &found.name_valid,
            &found.attr,
            found.generation,
        ),
        Err(error) => reply.error(error),
    }
}

pub fn empty(reply: ReplyEmpty, done: Answer<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

pub fn from_session<T>(result: safeos_session::Result<T>) -> Answer<T> {
    result.map_err(|error| convert::errno(&error))
}

/// The extended attributes that are kept.
pub fn check_xattr_name(name: &OsStr) -> Answer<&[u8]> {
    let name = name.as_bytes();
    let kept = [&b"user."[..], b"trusted.", b"security."];
    if kept.iter().any(|prefix| name.starts_with(prefix)) {
        Ok(name)
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// Replies with a value, or with its size when that is all that was asked.
pub fn sized(reply: ReplyXattr, value: Answer<Vec<u8>>, size: u32) {
    match value {
        Ok(value) => match u32::try_from(value.len()) {
            Ok(len) if size == 0 => reply.size(len),
            Ok(len) if len <= size => reply.data(&value),
            _ => reply.error(Errno::ERANGE),
        },
        Err(error) => reply.error(error),
    }
}

pub fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

/// Replies with attributes and how long they hold.
pub fn attr(reply: ReplyAttr, found: Answer<(fuser::FileAttr, std::time::Duration)>) {
    match found {
        Ok((attr, valid)) => reply.attr(&valid, &attr),
        Err(error) => reply.error(error),
    }
}
