//! What the tests in here share with those in `tests`.

// Which of it is used depends on the features.
#![allow(dead_code)]

use crate::{Attr, Credentials, Error, FileKind, NewNode, Options, Secret, Volume};

#[path = "../../../tests/common/homes.rs"]
mod homes;

pub(super) use homes::*;
