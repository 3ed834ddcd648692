"""rust_version.py: whether the rust-version in Cargo.toml is high enough for all it builds.

Reads the output of `cargo metadata` from its input. Goes through the packages that the root reaches by any
kind of dependency, development included. Exits 1 when one declares a newer Rust than the root does.
"""
import json
import sys


def numbers(version):
    return [int(part) for part in version.split("-")[0].split(".")] + [0] * (2 - version.count("."))


def main():
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {node["id"]: node["dependencies"] for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached, ahead = set(), [root]
    while ahead:
        package = ahead.pop()
        if package not in reached:
            reached.add(package)
            ahead += edges[package]

    ours = packages[root]["rust_version"]
    declared = [p for p in map(packages.get, reached - {root}) if p["rust_version"]]
    newest = max(declared, key=lambda p: numbers(p["rust_version"]))
    too_new = [p for p in declared if numbers(p["rust_version"]) > numbers(ours)]
    print(
        f"rust-version {ours}; {len(reached) - 1} dependencies, {len(declared)} declare theirs, "
        f"the newest is {newest['rust_version']} of {newest['name']} {newest['version']}"
    )
    for p in too_new:
        print(f"{p['name']} {p['version']} needs Rust {p['rust_version']}")
    return 1 if too_new else 0


if __name__ == "__main__":
    sys.exit(main())
