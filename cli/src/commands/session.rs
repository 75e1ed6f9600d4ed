//! How a session stands, and publishing it.

use safeos_control::{Request, Spend};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::conversation::{ask, ask_for};
use crate::failure::{Failure, Result, one_line};
use crate::output::{bytes, plural};

/// The daemon's report on the session.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    account: String,
    store: String,
    offline: bool,
    used_bytes: u64,
    nodes: u64,
    /// Bytes written and not published.
    pub unpublished_bytes: u64,
    waiting: Option<Waiting>,
    records: u64,
    cost: String,
    published: String,
    problems: Vec<String>,
}

impl Status {
    /// The obstacle to publishing, if there is one.
    pub fn keeps_waiting(&self) -> Option<String> {
        let waiting = self.waiting.as_ref()?;
        (!waiting.why.is_empty()).then(|| one_line(&waiting.why))
    }
}

/// Changes that wait to be published.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    since: String,
    why: String,
    failed_tries: u32,
    failing_since: String,
    next_try: String,
}

impl Waiting {
    /// The obstacle, and the next try.
    fn text(&self) -> String {
        let next = match self.next_try.as_str() {
            "" => "a try is under way".to_owned(),
            when => format!("the next try is at {when} or before, or now with `safe sync`"),
        };
        let tried = match self.failed_tries {
            0 => String::new(),
            1 => format!("; a try has failed at {}", self.failing_since),
            many => format!("; {many} tries have failed since {}", self.failing_since),
        };
        format!("{}{tried}; {next}", one_line(&self.why))
    }
}

/// The outcome of a publish.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Published {
    changed: bool,
    records: u64,
    bytes: u64,
    /// Names of versions that conflict.
    pub conflicts: Vec<String>,
}

impl Published {
    /// Whether changes wait on this computer, since they could not be published: a publish makes at least one record.
    pub fn is_kept(&self) -> bool {
        self.changed && self.records == 0
    }
}

/// `safe status`
pub fn status(context: &Context) -> Result<()> {
    let mount = context.dirs.session()?;
    let (status, mut value) = ask_for::<Status>(&mount, Request::Status, context.output.json)?;
    if let Some(value) = value.as_object_mut() {
        value.insert("mount".to_owned(), serde_json::json!(mount));
    }
    context.output.answer(&value, || {
        let mut text = status_text(&status);
        text.push_str(&format!("\nmount        {}", mount.display()));
        let is_told = status
            .waiting
            .as_ref()
            .is_some_and(|waiting| !waiting.why.is_empty());
        let problems = status.problems.iter();
        for problem in problems.filter(|problem| !(is_told && problem.starts_with("publishing:"))) {
            text.push_str(&format!("\nproblem      {}", one_line(problem)));
        }
        text
    })
}

fn status_text(status: &Status) -> String {
    let mut lines = vec![
        format!("account      {}", status.account),
        format!(
            "store        {}{}",
            status.store,
            if status.offline {
                " (out of reach now)"
            } else {
                ""
            }
        ),
        format!(
            "used         {} in {}",
            bytes(status.used_bytes),
            plural(status.nodes, "file and folder")
                .replace("file and folders", "files and folders")
        ),
        format!(
            "unpublished  {}{}",
            bytes(status.unpublished_bytes),
            match &status.waiting {
                Some(waiting) => format!(", written since {}", waiting.since),
                None => String::new(),
            }
        ),
        format!(
            "published    {}",
            if status.published.is_empty() {
                "not yet"
            } else {
                &status.published
            }
        ),
        format!("records      {} put in this session", status.records),
    ];
    if let Some(waiting) = status
        .waiting
        .as_ref()
        .filter(|waiting| !waiting.why.is_empty())
    {
        lines.insert(4, format!("waiting      {}", waiting.text()));
    }
    if !status.cost.is_empty() {
        lines.push(format!("cost         {}", status.cost));
    }
    lines.join("\n")
}

/// `safe sync`
pub fn sync(context: &Context, spend: Option<String>) -> Result<()> {
    let mount = context.dirs.session()?;
    if let Some(max) = spend {
        ask(&mount, Request::Spend(Spend { max }), context.output.json)?;
    }
    let (published, value) =
        ask_for(&mount, Request::Sync, context.output.json).map_err(not_published)?;
    context.output.answer(&value, || published_text(&published))
}

/// Why nothing was published, with what to do.
fn not_published(mut failure: Failure) -> Failure {
    if failure.retry {
        failure.message.push_str(
            "; nothing is lost, and it is tried again by itself: `safe status` says how it stands, `safe logout --later` signs out without waiting for it",
        );
    }
    failure
}

/// The outcome of a publish, in words.
pub fn published_text(published: &Published) -> String {
    let mut text = if published.changed {
        format!(
            "published {}, {}",
            plural(published.records, "record"),
            bytes(published.bytes)
        )
    } else {
        "everything was published already".to_owned()
    };
    for name in &published.conflicts {
        text.push_str(&format!(
            "\nboth versions are kept, the other one as {}",
            one_line(name)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_in_words() {
        let mut published = Published::default();
        assert_eq!(
            published_text(&published),
            "everything was published already"
        );
        published = Published {
            changed: true,
            records: 1,
            bytes: 2048,
            conflicts: vec!["a (ben's\n version)".into()],
        };
        assert_eq!(
            published_text(&published),
            "published 1 record, 2.0 KiB\nboth versions are kept, the other one as a (ben's  version)"
        );
    }

    #[test]
    fn what_waits_is_told_with_what_keeps_it() {
        let status = |waiting: &str| {
            let text = format!(r#"{{"unpublished_bytes": 2048, "waiting": {waiting}}}"#);
            status_text(&serde_json::from_str(&text).unwrap())
        };
        let text = status(r#"{"since": "A"}"#);
        assert!(
            text.contains("unpublished  2.0 KiB, written since A"),
            "{text}"
        );
        assert!(!text.contains("waiting  "), "{text}");
        let text = status(
            r#"{"since": "A", "why": "it is asleep", "failed_tries": 3, "failing_since": "B", "next_try": "C"}"#,
        );
        assert!(
            text.contains(
                "waiting      it is asleep; 3 tries have failed since B; the next try is at C or before"
            ),
            "{text}"
        );
        let text = status(r#"{"since": "A", "why": "it is asleep"}"#);
        assert!(text.contains("it is asleep; a try is under way"), "{text}");
    }

    #[test]
    fn a_status_in_words_survives_missing_fields() {
        let status: Status =
            serde_json::from_str(r#"{"account": "ana", "nodes": 3, "later": 1}"#).unwrap();
        let text = status_text(&status);
        assert!(text.contains("account      ana"));
        assert!(text.contains("3 files and folders"));
        assert!(text.contains("not yet"));
    }
}
