//! Shell completions and man pages, both from the arguments as they are defined.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::output::Output;

/// Prints the completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    // Into memory first: the generator does not survive a reader that has gone away.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "safe", &mut text);
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    Output { json: false }.answer(&serde_json::Value::Null, || text)
}

/// Writes one page a command.
pub fn man(dir: Option<&Path>, output: Output) -> Result<()> {
    let dir = dir.unwrap_or(Path::new("."));
    let write = || -> io::Result<usize> {
        fs::create_dir_all(dir)?;
        clap_mangen::generate_to(Args::command(), dir)?;
        Ok(fs::read_dir(dir)?
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "1"))
            .count())
    };
    let pages = write().map_err(|e| {
        Failure::system(
            format!("the man pages cannot be written to {}", dir.display()),
            &e,
        )
    })?;
    output.answer(
        &serde_json::json!({"dir": dir.display().to_string(), "pages": pages}),
        || format!("{pages} man pages in {}", dir.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_written_for_every_command() {
        let folder = tempfile::tempdir().unwrap();
        man(Some(folder.path()), Output { json: true }).unwrap();
        for page in ["safe.1", "safe-run.1", "safe-store-check.1"] {
            let text = fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(text.contains(".SH NAME"), "{page}");
        }
    }
}
