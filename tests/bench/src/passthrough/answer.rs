//! Answers to the kernel from results.

use std::io;

use fuser::{FileAttr, Generation, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyXattr};

use super::KEPT;

pub(super) fn answer(result: io::Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(e.into()),
    }
}

pub(super) fn answer_entry(result: io::Result<FileAttr>, reply: ReplyEntry) {
    match result {
        Ok(attr) => reply.entry(&KEPT, &attr, Generation(0)),
        Err(e) => reply.error(e.into()),
    }
}

pub(super) fn answer_attr(result: io::Result<FileAttr>, reply: ReplyAttr) {
    match result {
        Ok(attr) => reply.attr(&KEPT, &attr),
        Err(e) => reply.error(e.into()),
    }
}

pub(super) fn answer_xattr(result: io::Result<usize>, size: u32, data: &[u8], reply: ReplyXattr) {
    match result {
        Ok(len) if size == 0 => reply.size(len as u32),
        Ok(len) => reply.data(data.get(..len).unwrap_or_default()),
        Err(e) => reply.error(e.into()),
    }
}
