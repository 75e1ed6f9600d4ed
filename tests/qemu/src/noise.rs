//! Lines of the system's log that our programs would cause, and that must not be there.

use std::path::Path;

/// Asked for a scheme that is not there.
const NOT_FOUND: &str = "Scheme safe not found in namespace";
/// Tried to take a scheme out of a namespace that may not be changed.
const NOT_REMOVED: &str = "Permission denied to remove scheme";

/// Looks at a serial log. `tried` is how often a test tried to take `safe` away, where that is known.
pub fn look(log: &Path, tried: Option<usize>) -> Result<(), String> {
    let bytes = std::fs::read(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let count = |noise: &str| text.lines().filter(|line| line.contains(noise)).count();
    for (noise, wanted) in [(NOT_FOUND, Some(0)), (NOT_REMOVED, tried)] {
        let count = count(noise);
        if wanted.is_some_and(|wanted| wanted != count) {
            return Err(format!(
                "{}: {count} times {noise:?}, and it must be {}",
                log.display(),
                wanted.unwrap_or(0)
            ));
        }
    }
    Ok(())
}
