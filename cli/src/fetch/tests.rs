use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

const OUTPUT: Output = Output { json: true };

fn get(from: &Path, inside: &str, dir: &Path) -> Result<Fetched> {
    fetch(
        OUTPUT,
        (from, "safe://x"),
        Path::new(inside),
        Some(dir),
        "safe-x",
    )
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tree_is_copied_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("a/b/to"));
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("sub/file"), b"12345").unwrap();
    fs::hard_link(from.join("sub/file"), from.join("twin")).unwrap();
    fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o6640)).unwrap();
    fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o550)).unwrap();
    symlink("sub/file", from.join("link")).unwrap();
    let fetched = get(&from, "", &to).unwrap();
    assert_eq!((fetched.files, fetched.bytes, fetched.data), (3, 10, 10));
    assert_eq!(names(&to), ["link", "sub", "twin"]);
    assert_eq!(fs::read(to.join("link")).unwrap(), b"12345");
    let file = fs::metadata(to.join("sub/file")).unwrap();
    assert_eq!(file.nlink(), 2);
    assert_eq!(file.mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(to.join("sub")).unwrap().mode() & 0o777, 0o550);
    let old = fs::metadata(from.join("twin")).unwrap();
    assert_eq!(file.modified().unwrap(), old.modified().unwrap());
    assert_eq!(get(&from, "", &to).unwrap_err().code, "exists");
    // A part of it beside that, and existing files stay.
    get(&from, "twin", &folder.path().join("part")).unwrap();
    assert_eq!(names(&folder.path().join("part")), ["twin"]);
    assert_eq!(get(&from, "twin", &to).unwrap_err().code, "exists");
    assert_eq!(names(&to), ["link", "sub", "twin"]);
    // So that the temporary folder can be removed.
    for place in [&from, &to] {
        fs::set_permissions(place.join("sub"), fs::Permissions::from_mode(0o750)).unwrap();
    }
}

#[test]
fn holes_stay_holes_and_what_does_not_fit_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    let sparse = fs::File::create(from.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 7 << 30).unwrap();
    sparse.set_len(58 << 30).unwrap();
    // Zeros that the source holds as data need no room here.
    fs::write(from.join("zeros"), vec![0; 1 << 20]).unwrap();
    let fetched = get(&from, "", &to).unwrap();
    assert_eq!(fetched.bytes, (58 << 30) + (1 << 20));
    assert!(fetched.data < 3 << 20, "{}", fetched.data);
    let copy = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(copy.len(), 58 << 30);
    assert!(copy.blocks() * 512 < 1 << 20, "{}", copy.blocks());
    assert!(fs::metadata(to.join("zeros")).unwrap().blocks() * 512 < 1 << 19);
    let mut data = [0; 4];
    let file = fs::File::open(to.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut data, 7 << 30).unwrap();
    assert_eq!(&data, b"data");

    let source = Source::open(&from, Path::new(""), "safe://x").unwrap();
    let destination = Destination::choose(
        Some(&folder.path().join("new")),
        &source,
        Path::new(""),
        "own",
    );
    let refused = destination.unwrap().has_room_for(1 << 60).unwrap_err();
    assert_eq!(refused.code, "no_space");
    assert!(refused.message.contains("1.0 EiB"), "{}", refused.message);
}

#[cfg(target_os = "linux")]
#[test]
fn a_tree_may_be_deeper_than_a_path_is_long() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    let name = "p".repeat(200);
    let mut at = Folder::open(&from).unwrap();
    for _ in 0..150 {
        at = at.make_folder(OsStr::new(&name)).unwrap();
        std::io::Write::write_all(&mut at.make_file(OsStr::new("f")).unwrap(), b"deep").unwrap();
    }
    let fetched = get(&from, "", &to).unwrap();
    assert_eq!((fetched.files, fetched.bytes), (150, 600));
    let mut at = Folder::open(&to).unwrap();
    for _ in 0..150 {
        at = at.child(OsStr::new(&name)).unwrap();
        assert_eq!(at.look(OsStr::new("f")).unwrap().size, 4);
    }
    // A failed fetch is removed as deep as it goes.
    for place in [from, to] {
        let above = Folder::open(folder.path()).unwrap();
        destination::remove(&above, place.file_name().unwrap());
        assert!(!place.exists());
    }
}

#[test]
fn nothing_partial_stays_and_special_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(from.join("sub/inner")).unwrap();
    fs::write(from.join("sub/file"), b"12345").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.join("sub/door")).unwrap();
    let to = folder.path().join("to");
    let fetched = get(&from, "", &to).unwrap();
    assert_eq!(fetched.special, ["sub/door is a socket or a device"]);
    assert_eq!((fetched.files, fetched.specials), (1, 1));
    assert_eq!(names(&to.join("sub")), ["file", "inner"]);

    // Another program takes the place meanwhile.
    let (new, into) = (folder.path().join("x/y/new"), folder.path().join("into"));
    fs::create_dir(&into).unwrap();
    for dir in [&new, &into] {
        let source = Source::open(&from, Path::new(""), "safe://x").unwrap();
        let destination = Destination::choose(Some(dir), &source, Path::new(""), "own").unwrap();
        let mut staging = destination.stage().unwrap();
        let mut copier = Copier::new(&staging, 5, Progress::new(true)).unwrap();
        let finish = copier.copy(source).unwrap();
        drop(copier);
        if *dir == new {
            fs::create_dir(&new).unwrap();
        } else {
            fs::write(into.join("sub"), b"taken").unwrap();
        }
        let failure = staging.move_in(&finish).unwrap_err();
        assert_eq!(failure.code, "exists");
        staging.remove();
    }
    assert_eq!(names(&folder.path().join("x/y")), ["new"]);
    assert!(names(&new).is_empty());
    assert_eq!(names(&into), ["sub"]);
    assert_eq!(fs::read(into.join("sub")).unwrap(), b"taken");
}

#[test]
fn without_a_folder_it_gets_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("file"), b"1").unwrap();
    let destination = |inside: &str| {
        let inside = Path::new(inside);
        let source = Source::open(&from, inside, "safe://x")
            .and_then(|source| source.alone(inside, None))
            .unwrap();
        Destination::choose(None, &source, inside, "safe-x")
            .unwrap()
            .path
    };
    assert_eq!(destination(""), Path::new("./safe-x"));
    assert_eq!(destination("sub"), Path::new("./sub"));
    assert_eq!(destination("file"), Path::new("./file"));
    fs::remove_dir(from.join("sub")).unwrap();
    // A file that was published alone.
    assert_eq!(destination(""), Path::new("./file"));
}

#[test]
fn a_strangers_link_is_not_a_way() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::create_dir(folder.path().join("private")).unwrap();
    fs::write(folder.path().join("private/key"), b"key").unwrap();
    symlink("../private", from.join("link")).unwrap();
    let to = folder.path().join("to");
    let refused = get(&from, "link/key", &to).unwrap_err();
    assert_eq!(refused.code, "not_found");
    assert!(!to.exists());
    get(&from, "link", &to).unwrap();
    assert_eq!(
        fs::read_link(to.join("link")).unwrap(),
        Path::new("../private")
    );
}
