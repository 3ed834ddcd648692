//! What a TLS library says, in the user's words.
//!
//! native-tls hides which check failed but for its text, so text is all there is to go by; what
//! is not known here is passed on without OpenSSL's numbers and file names.

const NOT_YET: &str = "its certificate is not valid yet, or the clock of this host is wrong";
const SELF_SIGNED: &str =
    "its certificate is self-signed; if it is the right one, trust it as a CA";
const UNKNOWN_ISSUER: &str =
    "its certificate has an unknown issuer; if it is the right one, trust its CA";
const WANTS_CERTIFICATE: &str = "it wants a certificate of the client";
const NOT_TRUSTED: &str = "the client does not trust the certificate";
const TOO_OLD: &str = "the client speaks no TLS newer than 1.1";

const AT_CLIENT: [(&str, &str); 12] = [
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", NOT_YET),
    ("self-signed certificate", SELF_SIGNED),
    ("unable to get local issuer certificate", UNKNOWN_ISSUER),
    ("unable to get issuer certificate", UNKNOWN_ISSUER),
    ("unable to verify the first certificate", UNKNOWN_ISSUER),
    ("wrong version number", "it does not speak TLS"),
    ("packet length too long", "it does not speak TLS"),
    ("http request", "it does not speak TLS"),
    ("unsupported protocol", "it speaks no TLS newer than 1.1"),
    ("alert certificate required", WANTS_CERTIFICATE),
    (
        "alert protocol version",
        "there is no TLS version that both ends speak",
    ),
];

const AT_SERVER: [(&str, &str); 8] = [
    ("alert unknown ca", NOT_TRUSTED),
    ("alert certificate unknown", NOT_TRUSTED),
    ("alert bad certificate", NOT_TRUSTED),
    ("alert certificate expired", "the certificate has expired"),
    ("unexpected eof", "the client closed during it"),
    ("unsupported protocol", TOO_OLD),
    ("version too low", TOO_OLD),
    (
        "no shared cipher",
        "the client offers no cipher with forward secrecy",
    ),
];

/// The reason alone: `error:0A000086:SSL routines:function:reason:file:line:data (verification)`.
pub(super) fn reason(text: &str) -> String {
    let openssl = text.find("error:").map(|at| &text[at..]);
    let Some(error) = openssl else {
        return text.trim().to_owned();
    };
    // The result of checking the certificate says more than "certificate verify failed".
    if let Some(check) = error.strip_suffix(')').and_then(|e| e.rsplit_once('(')) {
        return check.1.to_owned();
    }
    error.split(':').nth(4).unwrap_or(error).trim().to_owned()
}

/// Whether the peer closed or was lost in the middle.
pub(super) fn is_end(text: &str) -> bool {
    let ends = [
        "unexpected eof",
        "unexpected EOF",
        "reset by peer",
        "Broken pipe",
    ];
    ends.iter().any(|end| text.contains(end))
}

/// Of a handshake that failed at a client: what is wrong with the server, and the way out.
pub(super) fn of_client(text: &str, host: &str) -> String {
    let reason = reason(text);
    let lower = reason.to_ascii_lowercase();
    if lower.contains("hostname mismatch") || lower.contains("ip address mismatch") {
        return format!("its certificate is not for {host}");
    }
    known(&AT_CLIENT, reason)
}

/// Behind the handshake. In TLS 1.3 a client learns only then what a server thinks of its
/// certificate.
pub(super) fn of_session(text: &str) -> String {
    let reason = reason(text);
    if reason.contains("alert certificate required") {
        return WANTS_CERTIFICATE.to_owned();
    }
    let certificate = ["bad certificate", "unknown ca", "certificate unknown"];
    if certificate.iter().any(|alert| reason.ends_with(alert)) {
        return "it does not trust the certificate of the client".to_owned();
    }
    format!("TLS: {reason}")
}

/// Of a handshake that failed at a server: what the client did, or does not like.
pub(super) fn of_server(text: &str) -> String {
    known(&AT_SERVER, reason(text))
}

/// What some of a reason's text is in our words; the reason itself if none is known.
fn known(words: &[(&str, &str)], reason: String) -> String {
    let lower = reason.to_ascii_lowercase();
    let found = words.iter().find(|(text, _)| lower.contains(text));
    found.map_or(reason, |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "error:0A000086:SSL routines:tls_post_process_server_certificate:\
        certificate verify failed:../ssl/statem/statem_clnt.c:1889:";

    #[test]
    fn the_check_of_a_certificate_says_more_than_that_it_failed() {
        let of = |check: &str| of_client(&format!("{FAILED} ({check})"), "a.example");
        assert_eq!(of("certificate has expired"), "its certificate has expired");
        assert_eq!(
            of("hostname mismatch"),
            "its certificate is not for a.example"
        );
        assert_eq!(of("something new"), "something new");
    }

    #[test]
    fn other_errors_are_their_reason_alone() {
        let text = "error:0A00010B:SSL routines:ssl3_get_record:wrong version number:ssl3.c:354:";
        assert_eq!(of_client(text, "a"), "it does not speak TLS");
        let text = "error:0A000139:SSL routines:f:record layer failure:file.c:1:";
        assert_eq!(of_client(text, "a"), "record layer failure");
        assert_eq!(of_client("no such luck", "a"), "no such luck");
        let text = "the handshake failed: error:0A000418:SSL routines:f:tlsv1 alert unknown ca:f.c:1:SSL alert number 48";
        assert_eq!(of_server(text), "the client does not trust the certificate");
    }
}
