//! Where events go: a file, the journal, stderr; and always the last ones of level INFO into memory.
//!
//! What always holds here: only events of this workspace's crates, whose values are [`Loggable`](crate::Loggable),
//! get anywhere: those of other crates may name files and hosts. A log does not grow without end, on disk or in memory.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The variable that says what is logged: `info`, or `safed=debug,safeos_session=trace,info`.
pub const VARIABLE: &str = "SAFE_LOG";

/// How the names of this workspace's crates begin.
const OURS: &str = "safe";
/// A log file of more is put aside as `FILE.old`.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// The size of the log kept in memory.
const RECENT_BYTES_MAX: usize = 256 << 10;

static RECENT: Recent = Recent(Mutex::new(Lines {
    lines: VecDeque::new(),
    bytes: 0,
}));

/// Where events go.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// The value of [`VARIABLE`]; nothing is written when it is missing, but to a file.
    pub filter: Option<String>,
    /// The file to write to.
    pub file: Option<PathBuf>,
    /// The same if there is no journal, in place of stderr.
    pub no_journal: Option<PathBuf>,
}

impl Options {
    /// With what the environment says.
    pub fn from_environment(file: Option<PathBuf>) -> Self {
        let filter = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        Self {
            filter,
            file,
            no_journal: None,
        }
    }
}

/// Begins to log, as `program`; once in a process.
pub fn begin(program: &str, options: &Options) -> Result<(), String> {
    let filter = match (&options.filter, &options.file) {
        (Some(text), _) => Some(filter(text)?),
        (None, Some(_)) => Some(ours(LevelFilter::INFO)),
        (None, None) => None,
    };
    let output = match filter {
        Some(filter) => Some(output(program, options)?.with_filter(filter)),
        None => None,
    };
    let recent = lines(&RECENT).with_filter(ours(LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(recent)
        .with(output)
        .try_init()
        .map_err(|error| format!("cannot begin to log: {error}"))
}

/// The last events of level INFO and above, oldest first.
pub fn recent() -> Vec<String> {
    RECENT.0.lock().lines.iter().cloned().collect()
}

fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target(OURS, level)
}

fn filter(text: &str) -> Result<Targets, String> {
    let wrong = |why: &str| {
        format!(
            "{VARIABLE} is “{text}”: {why}; use error, warn, info, debug or trace, or parts with a level each, as safed=debug,safeos_session=trace"
        )
    };
    let asked: Targets = text.parse().map_err(|_| wrong("it has no level"))?;
    let mut targets = ours(asked.default_level().unwrap_or(LevelFilter::OFF));
    for (target, level) in asked.iter().filter(|(target, _)| !target.is_empty()) {
        if !target.starts_with(OURS) {
            return Err(wrong("other programs' parts are not logged"));
        }
        targets = targets.with_target(target, level);
    }
    Ok(targets)
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

fn output<S>(program: &str, options: &Options) -> Result<Boxed<S>, String>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    if options.file.is_none()
        && let Some(journal) = journal(program)
    {
        return Ok(journal);
    }
    match options.file.as_ref().or(options.no_journal.as_ref()) {
        Some(path) => {
            let file = LogFile::open(path).map_err(|error| {
                format!("the log {} cannot be written: {error}", path.display())
            })?;
            Ok(lines(file))
        }
        None => Ok(lines(io::stderr)),
    }
}

#[cfg(target_os = "linux")]
fn journal<S>(program: &str) -> Option<Boxed<S>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_journald::layer().ok()?;
    Some(layer.with_syslog_identifier(program.to_owned()).boxed())
}

#[cfg(not(target_os = "linux"))]
fn journal<S>(_: &str) -> Option<Boxed<S>> {
    None
}

/// One line an event, and one at the end of each span that says how long it took.
fn lines<S, W>(writer: W) -> Boxed<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer()
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_thread_names(true)
        .with_writer(writer)
        .boxed()
}

struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

struct Recent(Mutex<Lines>);

impl<'a> MakeWriter<'a> for &'static Recent {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self
    }
}

/// A whole event each time.
impl Write for &'static Recent {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut recent = self.0.lock();
        recent.bytes += line.len();
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        recent.lines.push_back(text);
        while recent.bytes > RECENT_BYTES_MAX
            && let Some(oldest) = recent.lines.pop_front()
        {
            recent.bytes = recent.bytes.saturating_sub(oldest.len() + 1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Open {
    file: File,
    bytes: u64,
}

/// A file that is put aside when it is long.
#[derive(Clone)]
struct LogFile {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let open = Arc::new(Mutex::new(Self::begin(&path)?));
        Ok(Self { path, open })
    }

    fn begin(path: &Path) -> io::Result<Open> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, bytes })
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A whole event each time.
impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock();
        if open.bytes > FILE_BYTES_MAX {
            let mut old = self.path.clone().into_os_string();
            old.push(".old");
            std::fs::rename(&self.path, old)?;
            *open = Self::begin(&self.path)?;
        }
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_asked_for_is_of_this_workspace() {
        let targets = filter("safed=debug,warn").unwrap();
        assert!(targets.would_enable("safed::control", &tracing::Level::DEBUG));
        assert!(targets.would_enable("safeos_store", &tracing::Level::WARN));
        assert!(!targets.would_enable("safeos_store", &tracing::Level::INFO));
        assert!(!targets.would_enable("hyper", &tracing::Level::ERROR));
        assert!(
            !filter("trace")
                .unwrap()
                .would_enable("hyper", &tracing::Level::ERROR)
        );
        for wrong in ["loud", "hyper=debug"] {
            assert!(filter(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_long_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        let mut file = LogFile::open(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        let old = std::fs::metadata(folder.path().join("log.old")).unwrap();
        assert_eq!(old.len(), FILE_BYTES_MAX + 1);
    }

    #[test]
    fn memory_holds_the_last_lines() {
        let mut recent = &RECENT;
        for number in 0..10_000 {
            let line = format!("{number} {}\n", "x".repeat(100));
            recent.write_all(line.as_bytes()).unwrap();
        }
        let lines = super::recent();
        assert!(lines.last().unwrap().starts_with("9999 "));
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(bytes <= RECENT_BYTES_MAX && bytes > RECENT_BYTES_MAX / 2);
    }
}
