//! Redox's tables as text: which schemes a user's programs may see, and which processes there are.
//!
//! What always holds here: a table that is not understood gives nothing, never something wrong.

/// The schemes that `/etc/login_schemes.toml` lists for a user, without wildcards for all.
pub fn schemes_of(text: &str, user: &str) -> Option<Vec<String>> {
    let section = format!("[user_schemes.{user}]");
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim());
    lines.find(|line| *line == section)?;
    let body: Vec<&str> = lines
        .take_while(|line| !line.starts_with("[user_schemes."))
        .collect();
    let body = body.join(" ");
    let list = body
        .split_once("schemes")?
        .1
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let list = list.strip_prefix('[')?.split_once(']')?.0;
    let names: Option<Vec<String>> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| Some(name.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
        .collect();
    names.filter(|names| !names.iter().any(|name| name == "*"))
}

/// The processes of a user in `/scheme/proc/ps`, by the names of its columns.
pub fn processes_of(text: &str, uid: u32) -> Vec<i32> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
    let column = |name| header.iter().position(|column| *column == name);
    let (Some(pid), Some(ruid), Some(euid)) = (column("PID"), column("RUID"), column("EUID"))
    else {
        return Vec::new();
    };
    lines
        .filter_map(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| cells.get(index)?.parse::<u32>().ok();
            let is_theirs = number(ruid)? == uid || number(euid)? == uid;
            i32::try_from(number(pid)?).ok().filter(|_| is_theirs)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_by_user() {
        let text = "[user_schemes.root]\nschemes = [\"*\"]\n[user_schemes.user]\nschemes = [\n  # kernel\n  \"debug\",\n  \"display*\", # screens\n  \"safe\",\n]\n";
        assert_eq!(
            schemes_of(text, "user").unwrap(),
            ["debug", "display*", "safe"]
        );
        assert_eq!(schemes_of(text, "root"), None);
        assert_eq!(schemes_of(text, "ana"), None);
        assert_eq!(
            schemes_of("[user_schemes.user]\nschemes = [debug]", "user"),
            None
        );
        assert_eq!(schemes_of("", "user"), None);
    }

    #[test]
    fn processes_are_found_by_user() {
        let text = "PID   PGID  PPID  SID   RUID  RGID  EUID  EGID  NTHRD STATUS  NAME\n\
                    1     1     1     1     0     0     0     0     1     R       init\n\
                    77    77    1     77    1003  1003  1003  1003  2     R       a name\n\
                    78    77    1     77    0     0     1003  1003  2     R       b\n\
                    damaged\n";
        assert_eq!(processes_of(text, 1003), [77, 78]);
        assert!(processes_of("other columns\n1 2 3", 2).is_empty());
        assert!(processes_of("", 0).is_empty());
    }
}
