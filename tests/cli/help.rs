//! Help, completions and manual: what is offered, and that all of it is there.

use insta::assert_snapshot;
use swarm::cli;

use crate::world::World;

fn help(words: &[&str]) -> String {
    let ran = World::new().run(words);
    assert_eq!((ran.exit.code(), ran.err.as_str()), (0, ""));
    ran.out
}

#[test]
fn swarm_alone_shows_three_examples_and_the_commands() {
    assert_snapshot!(help(&[]), @r"
    Gets large files onto many machines, fast, with no central server

      swarm seed ./dataset                              Share it; writes dataset.torrent
      swarm fetch http://10.0.0.5:6881/                 Get it, on every other machine
      swarm verify dataset.torrent                      Check every byte of it

    Commands:
      create       Make a manifest (.torrent) of files
      seed         Give files to everybody who asks for them
      fetch        Get files, and give what is already here to others meanwhile
      show         Show what a manifest or a magnet link says [alias: info]
      verify       Compare files with their manifest [alias: check]
      magnet       Print the magnet link of a manifest
      tracker      Let machines find each other, over HTTP and UDP
      bench        Measure how fast a swarm on this machine is, over real sockets
      sim          Simulate a swarm, and say how near it comes to the least time possible
      completions  Print a completion script for a shell
      man          Print the manual page

    swarm COMMAND --help shows the options of a command.
    ");
}

#[test]
fn help_of_each_command() {
    assert_snapshot!("help", help(&["--help"]));
    for command in [
        "create",
        "seed",
        "sim",
        "fetch",
        "show",
        "verify",
        "magnet",
        "tracker",
        "bench",
        "completions",
        "man",
    ] {
        let text = help(&[command, "--help"]);
        assert_eq!(text, help(&[command, "-h"]));
        let own = text.split("\n\nGlobal options").next().unwrap();
        assert_snapshot!(format!("help-{command}"), own);
    }
}

#[test]
fn every_option_has_one_short_sentence_and_a_variable() {
    let command = cli::command();
    let all = command.get_subcommands().chain([&command]);
    for arg in all.flat_map(clap::Command::get_arguments) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            !help.is_empty() && !help.ends_with('.') && help.len() <= 100,
            "{arg}: {help:?}"
        );
        let has_variable = arg
            .get_env()
            .is_some_and(|name| name.to_str().unwrap().starts_with("SWARM_"));
        let is_own = !matches!(arg.get_id().as_str(), "help" | "version");
        assert_eq!(has_variable, is_own && arg.get_long().is_some(), "{arg}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = help(&["completions", shell]);
        for command in ["create", "seed", "sim", "fetch", "verify", "tracker"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command_and_the_exit_codes() {
    let manual = help(&["man"]);
    for command in cli::command().get_subcommands() {
        assert!(
            manual.contains(&format!("swarm\\-{}", command.get_name())),
            "{command}"
        );
    }
    assert!(manual.contains("Worth a retry"));
    let world = World::new();
    assert_eq!(world.run(&["man", "."]).exit.code(), 0);
    assert!(world.path("swarm-fetch.1").exists());
}

#[test]
fn a_mistyped_word_gets_a_suggestion() {
    let ran = World::new().run(&["fecth"]);
    assert_eq!(ran.exit.code(), 2);
    assert!(ran.err.contains("'fetch'"), "{}", ran.err);
}
