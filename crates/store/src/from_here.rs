/// The same place, as a path from the current directory where that is `/` on Redox.
///
/// There an absolute path is opened by way of the system's namespace manager, which on older systems is waiting
/// meanwhile for the scheme that it was last asked for: a daemon that serves one would wait for itself. A path from the
/// current directory goes to the file system at once.
pub fn from_here(path: std::path::PathBuf) -> std::path::PathBuf {
    let in_root = || std::env::current_dir().is_ok_and(|dir| dir.parent().is_none());
    match path.strip_prefix("/") {
        Ok(rest) if cfg!(target_os = "redox") && in_root() => rest.to_owned(),
        _ => path,
    }
}
