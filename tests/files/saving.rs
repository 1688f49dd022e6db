//! What every way to write a file keeps of the file that it replaces, and what it leaves behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sparse_autoencoder::files::{
    self, Number, TensorFile, dictionary_learning, gemma_scope, llama_scope,
};
use sparse_autoencoder::files::{sae_lens, sparsify};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, Every, L0, SparseAutoencoder, SparseAutoencoderBuilder, Trainer,
};

use crate::common::scratch::Scratch;
use crate::common::stored::{KINDS, OfFile};

fn builder() -> SparseAutoencoderBuilder<f32> {
    SparseAutoencoder::builder()
        .layers([3, 4])
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .penalty(L0)
}

fn trainer() -> Trainer<f32> {
    Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .batch_size(4)
}

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(3, 10, |i, j| ((i + 2 * j) % 5) as f32 / 4.0)
}

/// Every way to write one file of any name.
fn to_files() -> impl Iterator<Item = (&'static str, OfFile)> {
    let kinds = KINDS.into_iter().map(|(name, save, _)| (name, save));
    let others: [(&str, OfFile); 3] = [
        ("a trainer", |path| {
            trainer().save(&builder().build()?, path)
        }),
        ("checkpoints", |path| {
            let mut trainer = trainer().checkpoint(path, Every::Steps(1));
            trainer.fit(&mut builder().build()?, samples()).map(|_| ())
        }),
        ("a conversion", |path| {
            let source = path.with_file_name("source");
            files::save(&builder().build()?, &source)?;
            let done = files::convert(&source, path, Number::F64);
            fs::remove_file(source).unwrap();
            done.map(|_| ())
        }),
    ];
    kinds.chain(others)
}

/// Every way to write the files of a folder.
const TO_FOLDERS: [(&str, OfFile); 6] = [
    ("SAELens", |folder| {
        sae_lens::save(&builder().build()?, folder)
    }),
    ("Llama Scope", |folder| {
        llama_scope::save(&builder().build()?, folder)
    }),
    ("Gemma Scope", |folder| {
        gemma_scope::save(&builder().build()?, folder)
    }),
    ("Gemma Scope 2", |folder| {
        gemma_scope::save_second(&builder().build()?, folder)
    }),
    ("dictionary_learning", |folder| {
        dictionary_learning::save(&builder().build()?, folder).map(|_| ())
    }),
    ("sparsify", |folder| {
        let model = builder().hidden_activation(Activation::TopK(2)).penalty(());
        sparsify::save(&model.build()?, folder)
    }),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Runs `test` with every file that is written, in a folder of its own: how to write it, and its path.
fn for_every_file(name: &str, test: impl Fn(&str, &dyn Fn() -> Result<(), Error>, &Path)) {
    for (index, (what, save)) in to_files().enumerate() {
        let scratch = Scratch::new(&format!("{name}-file-{index}"));
        let path = scratch.file();
        test(what, &|| save(&path), &path);
    }
    for (index, (what, save)) in TO_FOLDERS.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("{name}-folder-{index}"));
        save(&scratch.0).unwrap_or_else(|error| panic!("{what}: {error}"));
        let written = files(&scratch.0);
        assert!(!written.is_empty(), "{what}");
        for path in written {
            test(what, &|| save(&scratch.0), &path);
        }
    }
}

/// A model of width 5 in a folder of any layout, and then one of width 4: saved as it is loaded, or refused.
#[test]
fn a_folder_of_another_layout_gives_the_model_saved_last_or_is_refused() {
    type Load = fn(&Path) -> Result<files::Loaded<SparseAutoencoder<f32>>, Error>;
    let loads: [Load; TO_FOLDERS.len()] = [
        |folder| sae_lens::load(folder),
        |folder| llama_scope::load(folder),
        |folder| gemma_scope::load(folder),
        |folder| gemma_scope::load(folder),
        |folder| dictionary_learning::load(folder),
        |folder| sparsify::load(folder),
    ];
    let theta = |load: Load, folder: &Path| {
        let loaded = load(folder).unwrap();
        assert_eq!(loaded.notes, []);
        loaded.model.parameters().as_slice().to_vec()
    };
    let mut refused = Vec::new();
    for (before, (first, save_first)) in TO_FOLDERS.into_iter().enumerate() {
        for ((second, save), load) in TO_FOLDERS.into_iter().zip(loads) {
            let scratch = Scratch::new(&format!("beside-{before}-{second}"));
            let (fresh, folder) = (scratch.0.join("fresh"), scratch.0.join("used"));
            save(&fresh).unwrap();
            save_first(&folder).unwrap();
            for path in files(&folder) {
                // Of another model: none of its numbers may come back.
                if path.extension().is_some_and(|ending| ending != "json") {
                    fs::write(path, b"stale").unwrap();
                }
            }
            match save(&folder) {
                Ok(()) => assert_eq!(
                    theta(load, &folder),
                    theta(load, &fresh),
                    "{first}, {second}"
                ),
                Err(Error::Unsupported { .. }) => refused.push((first, second)),
                Err(error) => panic!("{first}, {second}: {error}"),
            }
        }
    }
    let expected = [
        ("SAELens", "Llama Scope"), // whose later generation has the same name of weights
        ("Gemma Scope", "Gemma Scope 2"),
        ("Gemma Scope 2", "Gemma Scope"),
        ("dictionary_learning", "Gemma Scope"), // by `config.json`
    ];
    assert_eq!(refused, expected);
}

#[test]
fn nothing_but_the_file_is_left() {
    for_every_file("alone", |what, save, path| {
        save().unwrap();
        let before = files(path.parent().unwrap());
        save().unwrap();
        assert_eq!(files(path.parent().unwrap()), before, "{what}");
    });
}

#[test]
fn names_as_long_as_names_can_be() {
    for (index, (what, save)) in to_files().enumerate() {
        let scratch = Scratch::new(&format!("long-{index}"));
        for length in [1, 200, 245, 250, 255] {
            let path = scratch.0.join("n".repeat(length));
            save(&path).unwrap_or_else(|error| panic!("{what}, {length}: {error}"));
            assert!(
                TensorFile::open(&path).unwrap().names().count() > 0,
                "{what}"
            );
        }
    }
}

#[test]
#[cfg(unix)]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    for_every_file("link", |what, save, path| {
        let folder = path.parent().unwrap().join("elsewhere");
        fs::create_dir_all(&folder).unwrap();
        let target = folder.join("target");
        for there_is_one in [false, true] {
            let _ = (fs::remove_file(path), fs::remove_file(&target));
            if there_is_one {
                fs::write(&target, "old").unwrap();
            }
            symlink("elsewhere/target", path).unwrap();
            save().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(path.is_symlink(), "{what}: the link was replaced");
            assert!(fs::read(&target).unwrap().len() > 3, "{what}");
        }
        fs::remove_file(path).unwrap();
        symlink(path.file_name().unwrap(), path).unwrap(); // to itself
        let error = save().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
        fs::remove_file(path).unwrap();
        fs::remove_dir_all(folder).unwrap();
        save().unwrap();
    });
}

#[test]
#[cfg(unix)]
fn permissions_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    for_every_file("mode", |what, save, path| {
        save().unwrap();
        for mode in [0o600, 0o640, 0o755] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            save().unwrap();
            let kept = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(kept & 0o777, mode, "{what}");
        }
    });
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_refused_and_left() {
    for_every_file("pipe", |what, save, path| {
        let _ = fs::remove_file(path);
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
        let error = save().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
        assert!(!fs::metadata(path).unwrap().is_file(), "{what}");
        fs::remove_file(path).unwrap();

        fs::create_dir(path).unwrap();
        let error = save().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
        fs::remove_dir(path).unwrap();
        save().unwrap();
    });
}

/// What a process leaves that is killed while it writes: a draft of this file, which no one has locked.
fn abandoned(path: &Path, random: u64) -> PathBuf {
    let name = path.file_name().unwrap().as_encoded_bytes();
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    path.with_file_name(format!(".sae-{hash:016x}-{random:016x}.tmp"))
}

#[test]
fn drafts_that_were_abandoned_are_removed_and_no_others() {
    for_every_file("drafts", |what, save, path| {
        let folder = path.parent().unwrap();
        let kept = [
            abandoned(&folder.join("another file"), 1),
            // As they were named once, with the number of a process that may be this one's.
            folder.join(format!(".run.ckpt.{}-0.tmp", std::process::id())),
            folder.join(".sae-notes.tmp"),
        ];
        let left = [abandoned(path, 1), abandoned(path, u64::MAX)];
        for file in kept.iter().chain(&left) {
            fs::write(file, "half").unwrap();
        }
        let writing = abandoned(path, 7);
        let lock = File::create(&writing).unwrap();
        lock.lock().unwrap();
        save().unwrap();
        assert!(path.exists() && writing.exists(), "{what}");
        assert!(kept.iter().all(|file| file.exists()), "{what}");
        assert!(left.iter().all(|file| !file.exists()), "{what}");

        drop(lock);
        save().unwrap();
        assert!(!writing.exists(), "{what}");
        kept.iter().for_each(|file| fs::remove_file(file).unwrap());
    });
}

/// A file of terabytes, which takes no room on the disk: it would take hours to read.
#[test]
fn a_checkpoint_of_other_shapes_is_refused_before_it_is_read() {
    const TIMES: u64 = 1 << 36;
    let scratch = Scratch::new("sparse");
    let path = scratch.file();
    let mut model = builder().build().unwrap();
    trainer().save(&model, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut end = 0;
    for (name, tensor) in header.as_object_mut().unwrap() {
        let offsets = tensor["data_offsets"]
            .as_array()
            .map(|o| [0, 1].map(|i| o[i].as_u64()));
        let Some([Some(from), Some(to)]) = offsets else {
            continue; // metadata
        };
        // The first tensor becomes longer, and all others lie behind it.
        let first = name == "layers.0.encoder_weights";
        assert_eq!(first, from == 0, "{name}");
        let longer = 4 * 12 * (TIMES - 1);
        let begin = if first { 0 } else { from + longer };
        tensor["data_offsets"] = json!([begin, to + longer]);
        if first {
            tensor["shape"] = json!([4 * TIMES, 3]);
        }
        end = end.max(to + longer);
    }
    let header = header.to_string();
    let mut file = File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    if file.set_len(8 + header.len() as u64 + end).is_err() {
        return; // a file system that has no such files
    }
    let error = trainer().resume(&mut model, &path).unwrap_err();
    let Error::Malformed { reason, .. } = error else {
        panic!("{error}");
    };
    assert!(reason.contains("must have the shape"), "{reason}");
}

/// A bias that overflows in the layout of a file is refused, and the old file stays.
#[test]
fn what_cannot_be_read_is_not_written() {
    let scratch = Scratch::new("overflow");
    let folder = scratch.file();
    let model = |value: f32| {
        let mut sae = SparseAutoencoder::builder()
            .layers([4, 4])
            .hidden_activation(Activation::JumpRelu)
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true)
            .build()
            .unwrap();
        let theta = vec![value; sae.parameters().as_slice().len()];
        sae.set_theta(&theta).unwrap();
        sae
    };
    gemma_scope::save(&model(1.0), &folder).unwrap();
    let error = gemma_scope::save(&model(1e20), &folder).unwrap_err();
    assert!(
        error.to_string().contains("b_enc must be finite"),
        "{error}"
    );
    let kept = gemma_scope::load::<f32>(&folder).unwrap().model;
    let bias = kept
        .parameters()
        .layer(0)
        .unwrap()
        .decoder_bias
        .into_owned();
    assert_eq!(bias.as_slice(), [1.0; 4]);
}
