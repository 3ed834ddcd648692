//! Chromium with the counter's page over https.

use super::*;
use crate::browser::share;
use crate::support::browser::Browser;

#[test]
fn two_counter_pages_over_https_show_the_same_value_and_users() {
    let certificate = Certificate::localhost();
    // This one key is trusted, and no other.
    let trust = certificate.spki_hash();
    let trust = format!("--ignore-certificate-errors-spki-list={trust}");
    let Some(browser) = Browser::open_with(&[&trust]) else {
        return;
    };
    let folder = Folder::new();
    let file = folder.write("localhost.pem", certificate.combined());
    let (daemon, port) = serve("counter", &file, &["-v"]);
    share(&browser, &format!("https://127.0.0.1:{port}/"));
    let tab = browser.tab(&format!("https://localhost:{port}/"));
    tab.wait_text("#value", "-1");
    assert_eq!(tab.script("return location.protocol"), "https:");
    // The only listener has TLS, and these are WebSockets and no pages.
    let opened = |line: &String| line.ends_with(" / opened");
    let opened = daemon.lines().into_iter().filter(opened).count();
    assert!(opened >= 4, "{}", daemon.report());
}

#[test]
fn a_page_over_https_whose_certificate_is_not_trusted_is_not_shown() {
    let other = Certificate::localhost().spki_hash();
    let trust = format!("--ignore-certificate-errors-spki-list={other}");
    let Some(browser) = Browser::open_with(&[&trust]) else {
        return;
    };
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (daemon, port) = serve("counter", &file, &["-v"]);
    // Instead of it comes the browser's warning.
    let tab = browser.tab(&format!("https://127.0.0.1:{port}/"));
    let shown = tab.text("body");
    assert!(shown.contains("ERR_CERT_AUTHORITY_INVALID"), "{shown}");
    let line = daemon.wait_line("handshake failed: TLS: ");
    assert!(
        line.ends_with("the client does not trust the certificate"),
        "{line}"
    );
}
