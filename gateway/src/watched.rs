//! Files that are read again when they change: tokens are replaced, certificates renewed.
//!
//! What always holds here: a file that cannot be read or makes no sense replaces nothing; the gateway's operator
//! is told so once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A value that is read from files, and again when they change.
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, String> + Send + Sync>,
    now: Mutex<Now<T>>,
}

struct Now<T> {
    value: Arc<T>,
    stamps: Vec<Stamp>,
    looked: Instant,
    /// The error of the last reading.
    wrong: Option<String>,
}

/// The stamp by which a changed file is recognized.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

impl<T> Watched<T> {
    pub(crate) fn open(
        files: &[&Path],
        load: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let files: Vec<PathBuf> = files.iter().map(|file| (*file).to_owned()).collect();
        let stamps = files.iter().map(|file| stamp(file)).collect();
        let value = Arc::new(load()?);
        Ok(Self {
            files,
            load: Box::new(load),
            now: Mutex::new(Now {
                value,
                stamps,
                looked: Instant::now(),
                wrong: None,
            }),
        })
    }

    /// The present value, at most a second old. The files are small and local: no caller waits long.
    pub(crate) fn get(&self, log: &(dyn Fn(&str) + Send + Sync)) -> Arc<T> {
        let mut now = self.now.lock();
        if now.looked.elapsed() < LOOK_EVERY {
            return now.value.clone();
        }
        now.looked = Instant::now();
        let stamps: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        if stamps == now.stamps {
            return now.value.clone();
        }
        match (self.load)() {
            Ok(value) => {
                now.value = Arc::new(value);
                now.stamps = stamps;
                now.wrong = None;
            }
            // Until it is right it is read again and again: of two files one may not be there yet.
            Err(why) => {
                if now.wrong.as_ref() != Some(&why) {
                    log(&format!("{why}; what was there before still holds"));
                    now.wrong = Some(why);
                }
            }
        }
        now.value.clone()
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let number = 0;
    Some((found.modified().ok(), found.len(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_read_again_and_nonsense_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let read = path.clone();
        let watched = Watched::open(&[&path], move || {
            let text = std::fs::read_to_string(&read).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        })
        .unwrap();
        let said = Mutex::new(Vec::new());
        let said = Arc::new(said);
        let heard = said.clone();
        let log = move |line: &str| heard.lock().push(line.to_owned());
        // As if the second had gone by.
        let look = || {
            watched.now.lock().looked -= LOOK_EVERY;
            *watched.get(&log)
        };
        assert_eq!(look(), 1);
        std::fs::write(&path, "222").unwrap();
        assert_eq!(look(), 222);
        std::fs::write(&path, "no number").unwrap();
        assert_eq!((look(), look(), said.lock().len()), (222, 222, 1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((look(), look(), said.lock().len()), (222, 222, 2));
        std::fs::write(&path, "3").unwrap();
        assert_eq!(look(), 3);
    }
}
