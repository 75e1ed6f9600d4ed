//! The guarantees to programs, one case after the other. Each gets a folder of its own.

use crate::files::{Files, How, Kind, read_all, write_all};

/// A case.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Runs it in a folder; panics if something is not as it must be.
    pub run: fn(&dyn Files, &str),
}

macro_rules! cases {
    ($($module:ident: $($name:ident),* $(,)?;)*) => {
        $(pub mod $module;)*
        /// All of them.
        pub const ALL: &[Case] = &[
            $($(Case { name: stringify!($name), run: $module::$name },)*)*
        ];
    };
}

cases! {
    content: written_bytes_are_read, cat_and_cp;
    names: ls_shows_names_and_kinds, mkdir_and_rmdir, mv_and_rm;
    links: ln_makes_a_second_name, ln_s_is_followed, links_that_lead_nowhere;
    more: append_is_at_the_end, open_says_what_is_wrong, a_shell_is_in_its_directory,
        exec_reads_at_places, a_mapped_file_is_the_file, shared_mappings_are_one,
        record_locks_of_one_program, ftruncate_cuts_and_grows, futimens_sets_times, fchmod_is_kept,
        fsync_and_statvfs, removed_files_stay_while_open, a_hundred_thousand_entries;
}

/// A file with this content, for cases.
pub fn file(files: &dyn Files, path: &str, data: &[u8]) {
    assert_eq!(write_all(files, path, data), Ok(()), "{path}");
}

/// Checks the content of a file.
pub fn holds(files: &dyn Files, path: &str, data: &[u8]) {
    assert!(read_all(files, path).as_deref() == Ok(data), "{path}");
}

/// A file opened for reading and writing.
pub fn open(files: &dyn Files, path: &str) -> usize {
    files.open(path, How::WRITE).expect(path)
}

/// The names in a directory, sorted.
pub fn names_in(files: &dyn Files, path: &str) -> Vec<(String, Kind)> {
    let mut names = files.list(path).expect(path);
    names.sort_by(|one, other| one.0.cmp(&other.0));
    names
}
