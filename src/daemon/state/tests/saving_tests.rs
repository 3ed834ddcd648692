//! When it is written: soon, seldom, at the end, not at all; and when it cannot be.

use super::*;

/// What the directory shows of writing: the inode is another one after each.
fn inode(directory: &TempDir) -> Option<u64> {
    Some(newest(directory).metadata().ok()?.ino())
}

#[track_caller]
fn wait_saves(store: &Store, saves: u64) {
    wait_until(&format!("save number {saves}"), || store.saves() >= saves);
}

#[test]
fn what_is_put_is_on_disk_soon_without_another_call() {
    let directory = directory();
    let (store, _) = opened(&directory);
    store.put("5");
    wait_saves(&store, 1);
    let content = fs::read_to_string(newest(&directory)).unwrap();
    assert!(content.contains("\"value\":5}"), "{content}");
    // A second later at most, whatever comes meanwhile.
    store.put("6");
    store.put("7");
    wait_saves(&store, 2);
    let content = fs::read_to_string(newest(&directory)).unwrap();
    assert!(content.contains("\"value\":7}"), "{content}");
}

#[test]
fn many_values_are_one_write_a_second_and_the_last_one_at_the_end() {
    let directory = directory();
    let (store, _) = opened(&directory);
    let start = Instant::now();
    let mut last = 0;
    while start.elapsed() < Duration::from_millis(1500) {
        last += 1;
        store.put(last.to_string());
    }
    let (saves, took) = (store.saves(), start.elapsed());
    assert!(last > 1000, "{last}");
    // One at once, and one after each second.
    assert!(
        (1..=took.as_secs() + 1).contains(&saves),
        "{saves} in {took:?}"
    );
    drop(store);
    assert_eq!(opened(&directory).1, Some(last));
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let directory = two_values();
    let before = (inode(&directory), files(&directory));
    let (store, value) = opened(&directory);
    assert_eq!(value, Some(42));
    store.put("42");
    store.save("42").unwrap();
    store.flush().unwrap();
    // There and back within a moment is no change either, unless the first was fast enough.
    store.save("43").unwrap();
    let written = inode(&directory);
    assert_ne!(written, before.0);
    store.put("44");
    store.put("43");
    store.flush().unwrap();
    // Long enough for its thread to have written, had it anything to write.
    let until = Instant::now() + Duration::from_millis(1200);
    wait_until("a second to pass", || Instant::now() > until);
    assert_eq!((store.saves(), inode(&directory)), (1, written));
    drop(store);
    assert_eq!(inode(&directory), written);
}

#[test]
fn what_is_saved_is_there_when_the_call_returns() {
    let directory = directory();
    let (store, _) = opened(&directory);
    for value in 0..20 {
        store.save(value.to_string()).unwrap();
        let content = fs::read_to_string(newest(&directory)).unwrap();
        assert!(
            content.contains(&format!("\"value\":{value}}}")),
            "{content}"
        );
    }
    assert_eq!(store.saves(), 20);
}

#[test]
fn threads_that_save_at_once_leave_the_last_value() {
    let directory = directory();
    let (store, _) = opened(&directory);
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25 {
                    store.save((thread * 100 + number).to_string()).unwrap();
                }
            });
        }
    });
    store.put("1000");
    drop(store);
    assert_eq!(opened(&directory).1, Some(1000));
    assert_eq!(names(&directory), [NAME, "value.json.previous"]);
}

/// A folder that is in the way of every save, of whoever makes it.
fn obstacle(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("value.json.new");
    fs::create_dir(&path).unwrap();
    path
}

#[test]
fn where_saving_fails_it_goes_on_and_recovers() {
    let directory = two_values();
    let (store, _) = opened(&directory);
    let obstacle = obstacle(&directory);
    store.put("50");
    wait_until("two tries to fail", || store.failures() >= 2);
    assert!(store.is_failing());
    // It does not wait for a disk that does not answer, but takes the value.
    assert!(store.save("51").is_err());
    fs::remove_dir(obstacle).unwrap();
    wait_until("the value to be saved", || !store.is_failing());
    assert_eq!(names(&directory), [NAME, "value.json.previous"]);
    drop(store);
    assert_eq!(opened(&directory).1, Some(51));
}

#[test]
fn what_could_not_be_saved_is_tried_a_last_time_at_the_end() {
    let directory = two_values();
    let (store, _) = opened(&directory);
    let obstacle = obstacle(&directory);
    assert!(store.save("50").is_err());
    fs::remove_dir(obstacle).unwrap();
    drop(store);
    assert_eq!(opened(&directory).1, Some(50));
}

#[test]
fn a_directory_that_is_taken_away_is_no_place_to_save_to() {
    let directory = directory();
    let (store, _) = opened(&directory);
    store.save("5").unwrap();
    let path = directory.path().to_owned();
    fs::remove_dir_all(&path).unwrap();
    assert!(store.save("6").is_err());
    // Another one of that name is not the one that is locked.
    fs::create_dir(&path).unwrap();
    assert!(store.flush().is_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}
