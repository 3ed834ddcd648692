//! What is found: nothing, a value, damage, things that are no files, another process.

use super::*;

#[test]
fn nothing_is_there_at_first_and_nothing_is_written_for_it() {
    let directory = directory();
    let (store, value) = opened(&directory);
    assert_eq!(value, None);
    drop(store);
    assert_eq!(names(&directory), [""; 0]);
}

#[test]
fn a_value_and_the_one_before_are_json_and_nobody_elses() {
    let directory = two_values();
    let path = newest(&directory);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((&json["version"], &json["value"]), (&1.into(), &42.into()));
    let json = fs::read(previous(&directory)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["value"], 41);
    assert_eq!(names(&directory), [NAME, "value.json.previous"]);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(opened(&directory).1, Some(42));
}

#[test]
fn a_file_cut_short_at_any_byte_gives_the_value_before() {
    let directory = two_values();
    let whole = fs::read(newest(&directory)).unwrap();
    assert!(whole.len() > 40);
    for len in 0..whole.len() {
        fs::write(newest(&directory), &whole[..len]).unwrap();
        assert_eq!(opened(&directory).1, Some(41), "cut at {len}");
    }
    for more in [b"\n".as_slice(), b"\0", b" ", &whole] {
        fs::write(newest(&directory), [&whole, more].concat()).unwrap();
        assert_eq!(opened(&directory).1, Some(41), "followed by {more:?}");
    }
    fs::write(newest(&directory), &whole).unwrap();
    assert_eq!(opened(&directory).1, Some(42));
}

#[test]
fn a_file_with_any_bit_turned_gives_the_value_before() {
    let directory = two_values();
    let whole = fs::read(newest(&directory)).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut turned = whole.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        fs::write(newest(&directory), &turned).unwrap();
        let shown = String::from_utf8_lossy(&turned);
        assert_eq!(opened(&directory).1, Some(41), "bit {bit}: {shown}");
    }
}

#[test]
fn what_was_never_a_value_gives_the_value_before() {
    let directory = two_values();
    let whole = String::from_utf8(fs::read(newest(&directory)).unwrap()).unwrap();
    let wrong = [
        "5".to_owned(),
        "{}".to_owned(),
        r#"{"version":1,"value":42}"#.to_owned(),
        whole.replace("\"version\":1", "\"version\":2"),
        whole.replace(':', ": "),
        whole.replace("42", "43"),
        "\0".repeat(whole.len()),
        // As large as a value may be, and no value.
        "x".repeat(64 * 1024),
    ];
    for content in wrong {
        fs::write(newest(&directory), &content).unwrap();
        assert_eq!(opened(&directory).1, Some(41), "{:.60}", content);
    }
    // Whole, but not what this program saves.
    let other = Store::open(directory.path(), NAME, |_| Some(())).unwrap().0;
    other.save("\"text\"").unwrap();
    drop(other);
    assert_eq!(opened(&directory).1, Some(41));
}

#[test]
fn two_damaged_files_are_refused_and_left_alone() {
    let directory = two_values();
    fs::write(newest(&directory), "{\"version\":1,").unwrap();
    fs::write(previous(&directory), "").unwrap();
    // Not even what a killed process has left is taken away.
    fs::write(directory.path().join("value.json.new"), "rest").unwrap();
    let before = files(&directory);
    for _ in 0..2 {
        let why = damaged(&directory);
        for part in [
            "value.json is damaged, it is cut short",
            "value.json.previous, it is empty",
        ] {
            assert!(why.contains(part), "{part:?} in {why}");
        }
        assert_eq!(files(&directory), before);
    }
}

#[test]
fn a_damaged_file_without_one_before_is_refused() {
    let directory = directory();
    opened(&directory).0.save("7").unwrap();
    fs::write(newest(&directory), "7").unwrap();
    let why = damaged(&directory);
    assert!(why.contains("there is no "), "{why}");
    assert_eq!(fs::read(newest(&directory)).unwrap(), b"7");
}

#[test]
fn a_file_of_another_release_is_called_that() {
    let directory = directory();
    fs::write(newest(&directory), "{\"version\":2,\"value\":5}\n").unwrap();
    let why = damaged(&directory);
    assert!(why.contains("not of version 1"), "{why}");
}

#[test]
fn a_file_that_was_taken_away_is_a_start_anew_and_the_one_before_stays() {
    let directory = two_values();
    fs::remove_file(newest(&directory)).unwrap();
    let (store, value) = opened(&directory);
    assert_eq!(value, None);
    store.save("1").unwrap();
    drop(store);
    let kept = String::from_utf8(fs::read(previous(&directory)).unwrap()).unwrap();
    assert!(kept.contains("\"value\":41}"), "{kept}");
}

#[test]
fn a_damaged_file_never_becomes_the_one_before() {
    let directory = two_values();
    let before = fs::read(previous(&directory)).unwrap();
    fs::write(newest(&directory), "damaged").unwrap();
    let (store, value) = opened(&directory);
    assert_eq!(value, Some(41));
    store.save("50").unwrap();
    assert_eq!(fs::read(previous(&directory)).unwrap(), before);
    store.save("51").unwrap();
    drop(store);
    assert_eq!(opened(&directory).1, Some(51));
    fs::remove_file(newest(&directory)).unwrap();
    fs::rename(previous(&directory), newest(&directory)).unwrap();
    assert_eq!(opened(&directory).1, Some(50));
}

/// Puts something that is no file where the newest value should be.
fn in_place_of_it(make: impl FnOnce(&Path)) -> TempDir {
    let directory = two_values();
    fs::rename(newest(&directory), directory.path().join("elsewhere")).unwrap();
    make(&newest(&directory));
    directory
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_fifo_is_not_waited_for_and_gives_way_to_the_next_value() {
    let directory = in_place_of_it(fifo);
    let (store, value) = opened(&directory);
    assert_eq!(value, Some(41));
    store.save("50").unwrap();
    drop(store);
    assert!(newest(&directory).symlink_metadata().unwrap().is_file());
    assert_eq!(opened(&directory).1, Some(50));
}

#[test]
fn a_symbolic_link_is_not_followed_neither_for_reading_nor_for_writing() {
    let directory = in_place_of_it(|path| symlink("elsewhere", path).unwrap());
    let target = fs::read(directory.path().join("elsewhere")).unwrap();
    let (store, value) = opened(&directory);
    assert_eq!(value, Some(41), "the link leads to 42");
    store.save("50").unwrap();
    drop(store);
    assert_eq!(
        fs::read(directory.path().join("elsewhere")).unwrap(),
        target
    );
    assert!(newest(&directory).symlink_metadata().unwrap().is_file());
}

#[test]
fn a_folder_in_its_place_is_damage_and_saving_says_so() {
    let directory = in_place_of_it(|path| fs::create_dir(path).unwrap());
    let (store, value) = opened(&directory);
    assert_eq!(value, Some(41));
    let error = store.save("50").unwrap_err().to_string();
    assert!(
        error.contains("cannot save") && error.contains(NAME),
        "{error}"
    );
    assert!(store.is_failing());
    // Its owner takes it away.
    fs::remove_dir(newest(&directory)).unwrap();
    store.flush().unwrap();
    assert!(!store.is_failing());
}

#[test]
fn a_huge_file_is_refused_without_being_read() {
    let directory = in_place_of_it(|path| {
        let file = fs::File::create(path).unwrap();
        // Of holes: it takes no room on the disk.
        file.set_len(1 << 30).unwrap();
    });
    assert_eq!(opened(&directory).1, Some(41));
    // The most that this process ever needed, with all its tests.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kib| kib.split_whitespace().next()?.parse().ok());
    let peak: u64 = peak.expect("a peak of memory");
    assert!(peak < 1 << 19, "{peak} KiB");
    fs::remove_file(previous(&directory)).unwrap();
    let why = damaged(&directory);
    assert!(why.contains("larger than 6"), "{why}");
}

#[test]
fn what_a_killed_process_left_half_written_is_removed() {
    let directory = two_values();
    let new = directory.path().join("value.json.new");
    fs::write(&new, "{\"version\":1,\"crc").unwrap();
    assert_eq!(opened(&directory).1, Some(42));
    assert_eq!(names(&directory), [NAME, "value.json.previous"]);
    // Something else under that name does not stop it either.
    fifo(&new);
    let (store, _) = opened(&directory);
    fifo(&new);
    store.save("43").unwrap();
    assert_eq!(names(&directory), [NAME, "value.json.previous"]);
}

#[test]
fn a_second_store_is_refused_until_the_first_is_gone() {
    let directory = two_values();
    let (first, _) = opened(&directory);
    for _ in 0..2 {
        let Err(Failed::Locked(why)) = open(&directory) else {
            panic!("two stores have one state open");
        };
        assert!(why.contains("in use by another process"), "{why}");
    }
    first.save("43").unwrap();
    drop(first);
    assert_eq!(opened(&directory).1, Some(43));
}

#[test]
fn a_directory_that_is_not_there_is_not_made() {
    let parent = directory();
    let path = parent.path().join("state");
    let error = Store::open(&path, NAME, number).map(drop).unwrap_err();
    assert!(matches!(error, Failed::Io(_)), "{error}");
    let what = format!(
        "make the state directory {}, or name another",
        path.display()
    );
    assert!(error.to_string().starts_with(&what), "{error}");
    assert!(!path.exists());
    // A file is no directory.
    fs::write(&path, "").unwrap();
    let error = Store::open(&path, NAME, number).map(drop).unwrap_err();
    assert!(matches!(error, Failed::Io(_)), "{error}");
    assert!(error.to_string().contains("Not a directory"), "{error}");
}
