//! What went wrong in the background or on damaged files, for `status`.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// How many are kept.
const PROBLEMS_MAX: usize = 100;

/// The newest problems, oldest first, each once.
#[derive(Default)]
pub(crate) struct Problems(Mutex<VecDeque<String>>);

impl Problems {
    pub(crate) fn add(&self, problem: String) {
        let mut problems = self.0.lock();
        if problems.contains(&problem) {
            return;
        }
        if problems.len() == PROBLEMS_MAX {
            problems.pop_front();
        }
        problems.push_back(problem);
    }

    /// Takes back the problems that start so: what they told of is over.
    pub(crate) fn solved(&self, start: &str) {
        self.0.lock().retain(|problem| !problem.starts_with(start));
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }
}
