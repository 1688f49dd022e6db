//! A configuration is read as Python reads it, and a file of another kind is named.

use std::fs;

use sparse_autoencoder::files::{Note, sae_lens};

use crate::common::scratch::Scratch;
use crate::interop::malformed;
use crate::published_keys::{PROJECTS, changed, root};

#[test]
fn what_python_writes_is_read() {
    let folder = root().join("fixtures/sae_lens/standard");
    let text = fs::read_to_string(folder.join("cfg.json")).unwrap();
    let load = |text: &[u8]| {
        let scratch = changed("python", &folder);
        fs::write(scratch.0.join("cfg.json"), text).unwrap();
        sae_lens::load::<f64>(&scratch.0)
    };
    let insert = |entries: &str| text.replacen('{', &format!("{{{entries},"), 1);
    let before = load(text.as_bytes()).unwrap();
    for entries in [
        "\"lr\": NaN",
        "\"lr\": Infinity, \"lr_end\": -Infinity",
        "\"lr\": [NaN, {\"of\": -Infinity}, \"NaN\"]",
        "\"lr\": 1e400, \"lr_end\": -123456789e999",
        "\"seed\": 123456789012345678901234567890",
        "\"seed\": 1, \"seed\": 2",
        "\"run_name\": \"NaN \\\" NaN, \\\\\"",
        // Of equal keys, the last counts.
        "\"d_sae\": 17",
    ] {
        let loaded = load(insert(entries).as_bytes());
        let loaded = loaded.unwrap_or_else(|error| panic!("{entries}: {error}"));
        assert_eq!(loaded.notes, before.notes, "{entries}");
        assert_eq!(loaded.model.parameters(), before.model.parameters());
    }
    load(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).unwrap();
    // What is unknown is named as it is written.
    let loaded = load(insert("\"NaN\": NaN").as_bytes()).unwrap();
    let key = "NaN".to_owned();
    assert_eq!(loaded.notes, [Note::UnknownKey { key }]);

    for (key, value) in [("d_sae", "NaN"), ("d_in", "Infinity"), ("d_in", "1e999")] {
        let (start, rest) = text.split_once(&format!("\"{key}\": ")).unwrap();
        let (_, rest) = rest.split_once(',').unwrap();
        let message = malformed(load(format!("{start}\"{key}\": {value},{rest}").as_bytes()));
        let named = message.contains(&format!("{key} must be a whole number"));
        assert!(named && message.contains(value), "{message}");
    }
    for damaged in [
        "{\"lr\": nan}",
        "{\"lr\": -inf}",
        "{\"lr\": NaNs}",
        "{\"lr\": \"NaN}",
    ] {
        assert!(
            malformed(load(damaged.as_bytes())).contains("no JSON"),
            "{damaged}"
        );
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let folder = root().join("fixtures/sae_lens/standard");
    for (content, named) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"[..],
            "git lfs pull",
        ),
        (b"\n<!DOCTYPE html><html></html>", "HTML"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "gzip"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "ZIP"),
        (b"\x80\x02}q\x00(X\x01\x00\x00.", "pickle"),
        (b"\xff\xfe{\x00\"\x00a\x00\"\x00:\x00", "UTF-16"),
        (b"\x93NUMPY\x01\x00v\x00{", "NumPy"),
        (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
        (b" \n", "empty"),
        (b"{\"metadata\": {}, \"weight_map\": {}}", "index"),
        (b"[1, 2]", "not an object"),
    ] {
        let scratch = changed("kind", &folder);
        fs::write(scratch.0.join("cfg.json"), content).unwrap();
        let message = sae_lens::load::<f64>(&scratch.0).unwrap_err().to_string();
        assert!(
            message.contains(named) && message.contains("cfg.json"),
            "{message}"
        );
    }
    let file = folder.join("cfg.json");
    for (_, load) in PROJECTS.into_iter().filter(|(name, _)| {
        ["sae_lens", "sparsify", "llama_scope"]
            .iter()
            .any(|project| name.ends_with(project))
    }) {
        let message = load(&file).unwrap_err().to_string();
        assert!(message.contains("give the folder"), "{message}");
    }
    let scratch = Scratch::new("keys-folder");
    fs::create_dir(scratch.0.join("cfg.json")).unwrap();
    let message = sae_lens::load::<f64>(&scratch.0).unwrap_err().to_string();
    assert!(
        message.contains("expected a file, but this is a folder"),
        "{message}"
    );
}
