//! Chromium logs in by the form.

use crate::support::browser::Browser;
use crate::support::files::Folder;
use crate::support::raw::exchange;
use crate::topics_pages::{serve, url, wait_script};

#[test]
fn a_browser_is_led_to_the_form_and_then_sees_and_changes_the_value() {
    let folder = Folder::new();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let rules = folder.write("rules", "allow user:ann read,write /\n");
    let users = folder.write("users", format!("ann:{hash}\n"));
    let [rules, users] = [rules, users].map(|path| path.display().to_string());
    let (_daemon, port) = serve(0, &["--access", &rules, "--users", &users]);
    let ann = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let set =
        format!("PUT /topic/room/lamp HTTP/1.1\r\nHost: h\r\n{ann}Content-Length: 3\r\n\r\noff");
    assert_eq!(exchange(port, set).status, 204);

    let browser = Browser::open();
    let tab = browser.tab(&url(port, "/topic/room/lamp"));
    assert_eq!(
        tab.script("return location.pathname + location.search"),
        "/login?next=/topic/room/lamp"
    );
    tab.type_text("#user", "ann");
    tab.type_text("#password", "wrong");
    tab.click("button");
    let told = "return document.getElementById('error')?.textContent.includes('not right')";
    wait_script(&tab, "the form to say that this is wrong", told);
    tab.type_text("#user", "ann");
    tab.type_text("#password", "secret");
    tab.click("button");
    let there = "return location.pathname === '/topic/room/lamp' && document.getElementById('status')?.textContent === 'Connected'";
    wait_script(&tab, "the page of the topic", there);
    let shown = "return document.body.textContent.includes('off')";
    wait_script(&tab, "the value", shown);
    // The script has no way to the cookie, and the page may write.
    assert_eq!(tab.script("return document.cookie"), "");
    let set = "return fetch('/topic/room/lamp', { method: 'PUT', body: 'on' }).then(answer => answer.status)";
    assert_eq!(tab.script(set), 204);
    wait_script(
        &tab,
        "the new value",
        "return document.body.textContent.includes('on')",
    );
}
