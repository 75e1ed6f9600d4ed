//! Shell completions and man pages, both from the arguments as they are defined.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use clap::CommandFactory;
use safeos_store::whose;

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
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    whose::check_links(&whole).map_err(|stranger| Failure::new("not_yours", stranger))?;
    let write = || -> io::Result<usize> {
        fs::create_dir_all(dir)?;
        // Beside their places, then in them: a link that stands there is replaced and not written through.
        let mut random = [0; 8];
        safeos_record::random_bytes(&mut random).map_err(io::Error::other)?;
        let aside = dir.join(format!(".safe-man-{:016x}", u64::from_le_bytes(random)));
        fs::DirBuilder::new().mode(0o700).create(&aside)?;
        let moved = clap_mangen::generate_to(Args::command(), &aside).and_then(|()| {
            let mut pages = 0;
            for entry in fs::read_dir(&aside)? {
                let name = entry?.file_name();
                fs::rename(aside.join(&name), dir.join(&name))?;
                pages += 1;
            }
            Ok(pages)
        });
        let _ = fs::remove_dir_all(&aside);
        moved
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
    #[test]
    fn a_link_in_the_folder_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (pages, victim) = (folder.path().join("pages"), folder.path().join("victim"));
        fs::create_dir(&pages).unwrap();
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, pages.join("safe.1")).unwrap();
        man(Some(&pages), Output { json: true }).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let page = fs::read_to_string(pages.join("safe.1")).unwrap();
        assert!(page.contains(".SH NAME"));
        let left = fs::read_dir(&pages).unwrap().flatten();
        assert!(
            left.into_iter()
                .all(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        );
    }
}
