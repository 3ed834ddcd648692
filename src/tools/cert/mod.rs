//! `plainws cert`: a self-signed certificate for development, written, and what to do with it.

mod certificate;
mod files;
mod name;

use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::{PathBufValueParser, TypedValueParser};

use certificate::Certificate;
use files::Files;
use name::Name;

use super::say::say;

/// Make a self-signed certificate for localhost, or for the names given
///
/// Writes two files: the certificate with its private key, for `plainws serve --tls-cert`, and beside
/// it the certificate alone, its name ending in .crt, for `plainws connect --ca` and for browsers.
#[derive(clap::Args)]
pub(crate) struct Cert {
    /// DNS names, also *.app.example, and IP addresses that clients connect to [default: localhost
    /// 127.0.0.1 ::1]
    #[arg(value_name = "NAME", value_parser = Name::parse)]
    names: Vec<Name>,

    /// Write certificate and private key to FILE, and the certificate alone beside it, its name
    /// ending in .crt [default: the first name and .pem]
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(Files::new))]
    out: Option<Files>,

    /// Valid for so many days from now, 1 to 3650; and since yesterday, for clocks that are slow
    // 397 is the most that browsers take of public authorities, 398 less the day for wrong clocks.
    #[arg(long, value_name = "N", default_value_t = 397, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Cert) -> ExitCode {
    let mut names: Vec<Name> = Vec::new();
    for name in args.names {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names = Name::localhost();
    }
    let files = args.out.unwrap_or_else(|| Files::named(&names[0]));
    match make(&files, &names, args.days, args.force) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            say(&format!("error: {failed}"));
            ExitCode::FAILURE
        }
    }
}

fn make(files: &Files, names: &[Name], days: u16, force: bool) -> Result<(), String> {
    files.check(force)?;
    let certificate = Certificate::new(names, days)
        .map_err(|error| format!("OpenSSL cannot make the certificate: {error}"))?;
    files.write(&certificate.pem, &certificate.key_pem, force)?;
    for name in names {
        // OpenSSL and the browsers do, as it could be a whole country. At home it is *.lan.
        if name.zone().is_some_and(|zone| !zone.contains('.')) {
            say(&format!(
                "warning: most clients let {name} stand for nothing: a wildcard needs two labels \
                 after it"
            ));
        }
    }
    let report = report(files, names, &certificate);
    match std::io::stdout().write_all(report.as_bytes()) {
        // Whoever closed the pipe does not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "{} and {} are written, but what to do with them is not: {error}",
            files.pem().display(),
            files.crt().display()
        )),
        _ => Ok(()),
    }
}

fn report(files: &Files, names: &[Name], certificate: &Certificate) -> String {
    let host = host(names);
    let (pem, crt) = (shell(files.pem()), shell(files.crt()));
    let width = pem.chars().count().max(crt.chars().count());
    let listed: Vec<String> = names.iter().map(Name::to_string).collect();
    format!(
        "\
{pem:width$}  certificate and private key: keep it secret
{crt:width$}  certificate alone: for clients and browsers

names        {listed}
valid until  {until}
SHA-256      {fingerprint}

Use it:
  plainws serve --tls-cert {pem}
  plainws connect --ca {crt} wss://{host}:8765/

Make a browser trust it:
  Chromium on Linux  certutil -d \"sql:$HOME/.pki/nssdb\" -A -t P,, -n plainws-{nick} -i {crt}
  Firefox            open https://{host}:8765/, then Advanced, Accept the Risk and Continue
  macOS              security add-trusted-cert -p ssl -k ~/Library/Keychains/login.keychain-db {crt}
  Windows            certutil -user -addstore Root {crt}
Or let mkcert make one that all browsers here trust: https://github.com/FiloSottile/mkcert
",
        listed = listed.join(", "),
        until = certificate.until.format("%Y-%m-%d %H:%M UTC"),
        fingerprint = certificate.fingerprint,
        nick = host.trim_matches(['[', ']']),
    )
}

/// The host for the URLs shown: the first name that is one, or one that a wildcard stands for.
fn host(names: &[Name]) -> String {
    let first = names.iter().find(|name| name.zone().is_none());
    match first.unwrap_or(&names[0]) {
        Name::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        name => name.to_string().replace('*', "www"),
    }
}

/// The path as one word of a shell, and never as an option.
fn shell(path: &Path) -> String {
    let mut word = path.display().to_string();
    if word.starts_with('-') {
        word.insert_str(0, "./");
    }
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if word.chars().all(plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("localhost.pem", "localhost.pem"),
            ("/a/b_c-d.pem", "/a/b_c-d.pem"),
            ("-x.pem", "./-x.pem"),
            ("my keys/it's.pem", r"'my keys/it'\''s.pem'"),
            ("$HOME.pem", "'$HOME.pem'"),
            ("~.pem", "'~.pem'"),
        ] {
            assert_eq!(shell(Path::new(path)), word);
        }
    }

    #[test]
    fn the_urls_shown_are_of_a_host_that_the_certificate_is_for() {
        for (names, shown) in [
            (&["app.example", "::1"] as &[_], "app.example"),
            (&["*.app.example"], "www.app.example"),
            (&["*.app.example", "[2001:DB8::1]"], "[2001:db8::1]"),
            (&["10.0.0.7", "pi"], "10.0.0.7"),
        ] {
            let names: Vec<Name> = names
                .iter()
                .map(|n| Name::parse(n).expect("a name"))
                .collect();
            assert_eq!(host(&names), shown);
        }
    }
}
