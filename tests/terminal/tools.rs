//! The completions of the package.

use crate::support::examples::packaged;

#[test]
fn completions_are_made_for_each_shell() {
    for name in ["plainws.bash", "_plainws", "plainws.fish"] {
        let script = packaged(name);
        for word in ["connect", "serve", "reconnect", "max-size"] {
            assert!(script.contains(word), "{word} in {name}");
        }
    }
}
