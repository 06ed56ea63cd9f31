"""`triton-asr transcribe`, `evaluate`, and how the command ends."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import triton_asr.main as command
from asr_client import AsrError, DecodeOptions, Transcription, Word
from asr_client.commands.transcribe import output_stems
from command_line import Ran, Run
from fake_inference import FakeTriton, Refusal, Seen
from hypothesis import given, settings
from hypothesis import strategies as st


def spoken(seen: Seen) -> Transcription:
    """The audio is its own transcript."""
    text = seen.audio.decode()
    if text == "noise":
        raise Refusal("INVALID_ARGUMENT", "cannot read this as audio")
    words = tuple(Word(word, float(number), number + 0.5, 0.5) for number, word in enumerate(text.split()))
    return Transcription(text, 0.75, 2.0, words)


@pytest.fixture
def server(triton: FakeTriton) -> list[str]:
    """Arguments by which a command finds a server, over either protocol."""
    triton.model = spoken
    return ["-u", triton.url, "-i", triton.protocol]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some recordings."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.wav": "hello world", "b.wav": "good morning", "bad.wav": "noise"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_one_file_is_its_text(run: Run, server: list[str], folder: Path) -> None:
    assert run("transcribe", *server, "a.wav") == Ran(0, "hello world\n", "")


def test_several_files_are_lines_in_their_order(run: Run, server: list[str], folder: Path) -> None:
    assert run("transcribe", *server, "b.wav", "a.wav").out == "b.wav\tgood morning\na.wav\thello world\n"


def test_a_bad_file_does_not_stop_the_rest(run: Run, server: list[str], folder: Path) -> None:
    result = run("transcribe", *server, "missing.wav", "a.wav", "bad.wav", "b.wav")
    assert result.code == 1
    assert result.out == "a.wav\thello world\nb.wav\tgood morning\n"
    assert result.err.splitlines() == [
        "triton-asr: error: cannot read missing.wav: No such file or directory",
        "triton-asr: error: bad.wav: cannot read this as audio",
    ]


def test_a_second_server_takes_over(run: Run, server: list[str], folder: Path) -> None:
    assert run("transcribe", "-u", "127.0.0.1:1", *server, "a.wav") == Ran(0, "hello world\n", "")


def test_json_lines(run: Run, server: list[str], folder: Path) -> None:
    lines = run("transcribe", *server, "-f", "json", "a.wav", "b.wav").out.splitlines()
    assert [json.loads(line)["audio"] for line in lines] == ["a.wav", "b.wav"]
    assert json.loads(lines[0])["words"] == []


def test_word_timestamps_in_json(run: Run, server: list[str], folder: Path) -> None:
    out = run("transcribe", *server, "-f", "json", "--word-timestamps", "a.wav").out
    assert json.loads(out)["words"][1] == {"word": "world", "start": 1.0, "end": 1.5, "confidence": 0.5}


def test_hotwords_come_from_the_command_line_and_a_file(
    run: Run, server: list[str], triton: FakeTriton, folder: Path
) -> None:
    (folder / "names.txt").write_text("# people\nQuilter^5\n\nNew York  # a place\n", encoding="utf-8")
    assert run("transcribe", *server, "--hotwords", "acme", "--hotwords-file", "names.txt", "a.wav").code == 0
    assert triton.seen[-1].parameters["hotwords"] == "acme,Quilter^5,New York"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read names.txt"), ("a, b", "holds 'a, b'; needs one word a line")]
)
def test_a_file_of_hotwords_that_cannot_be_used(
    run: Run, server: list[str], folder: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (folder / "names.txt").write_text(content)
    ran = run("transcribe", *server, "--hotwords-file", "names.txt", "a.wav")
    assert ran.code == 2
    assert message in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ([], {}),
        (["-f", "srt"], {"word_timestamps": True}),
        (["-f", "vtt"], {"word_timestamps": True}),
        (["-f", "tsv"], {"word_timestamps": True}),
        (["-f", "ctm"], {"word_timestamps": True}),
        (["-f", "srt", "--timestamps"], {"timestamps": True}),  # cues of segments
        (["-f", "ctm", "--timestamps"], {"word_timestamps": True, "timestamps": True}),  # which has words alone
        (["-f", "srt", "--timestamps", "--word-timestamps"], {"word_timestamps": True, "timestamps": True}),
        (["-f", "json", "--timestamps"], {"timestamps": True}),
        (
            ["--language", "German", "--max-new-tokens", "50", "--temperature-fallback", "--prompt", "x"],
            {"language": "German", "max_new_tokens": 50, "temperature_fallback": True, "prompt": "x"},
        ),
    ],
)
def test_what_a_command_asks_for(
    run: Run,
    server: list[str],
    triton: FakeTriton,
    folder: Path,
    arguments: list[str],
    parameters: dict[str, object],
) -> None:
    triton.model = lambda seen: replace(spoken(seen), language="de")  # a Whisper, which is asked the same as others
    assert run("transcribe", *server, *arguments, "a.wav").code == 0
    names = {field.name for field in fields(DecodeOptions)}
    assert {name: value for name, value in triton.seen[-1].parameters.items() if name in names} == parameters


def test_subtitles_of_segments_and_of_words(run: Run, server: list[str], triton: FakeTriton, folder: Path) -> None:
    text = " They walked along the river, and nobody spoke until the old bridge came into view at last."
    words = text.split()
    by_word = tuple(Word(f" {word}", 20 + n * 0.5, 20.4 + n * 0.5, 0.9) for n, word in enumerate(words))
    segment = (Word(text, 20.0, 29.0, 0.9),)

    def model(seen: Seen) -> Transcription:
        return Transcription(text.strip(), 0.9, 30.0, by_word if "word_timestamps" in seen.parameters else segment)

    triton.model = model
    lines = ["They walked along the river,", "and nobody spoke until the old", "bridge came into view at last."]
    assert run("transcribe", *server, "-f", "srt", "a.wav").out.splitlines() == [
        *("1", "00:00:20,000 --> 00:00:22,400", lines[0], ""),
        *("2", "00:00:22,500 --> 00:00:28,400", *lines[1:]),
    ]
    by_segment = run("transcribe", *server, "-f", "srt", "--timestamps", "a.wav").out.splitlines()
    assert [line for line in by_segment if line in lines] == lines
    assert by_segment[1].startswith("00:00:20,000 --> ")
    assert by_segment[-3].endswith(" --> 00:00:29,000")
    assert run("transcribe", *server, "-f", "ctm", "a.wav").out.startswith("a 1 20.000 0.400 They 0.900\na 1 20.500 ")


def test_the_voice_detector_is_asked_for_by_name(run: Run, server: list[str], triton: FakeTriton, folder: Path) -> None:
    assert run("transcribe", *server, "--vad", "a.wav").code == 0
    assert triton.seen[-1].parameters["vad"] is True
    assert run("transcribe", *server, "a.wav").code == 0
    assert "vad" not in triton.seen[-1].parameters


def test_timed_formats_ask_for_words(run: Run, server: list[str], folder: Path) -> None:
    assert run("transcribe", *server, "-f", "ctm", "a.wav").out == (
        "a 1 0.000 0.500 hello 0.500\na 1 1.000 0.500 world 0.500\n"
    )


def test_output_folder_gets_a_file_each(run: Run, server: list[str], folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/a.flac").write_text("good night")
    result = run("transcribe", *server, "-f", "srt", "-o", "out/deep", "a.wav", "other/a.flac", "bad.wav")
    assert (result.code, result.out) == (1, "")
    assert sorted(path.name for path in (folder / "out/deep").iterdir()) == ["a-2.srt", "a.srt"]
    assert "good night\n" in (folder / "out/deep/a-2.srt").read_text()


def test_output_folder_that_cannot_be(run: Run, server: list[str], folder: Path) -> None:
    result = run("transcribe", *server, "-o", "a.wav/out", "b.wav")
    assert (result.code, result.err) == (1, "triton-asr: error: cannot make the folder a.wav/out: Not a directory\n")


def test_output_folder_that_is_a_file(run: Run, folder: Path) -> None:
    result = run("transcribe", "-o", "a.wav", "b.wav")
    assert (result.code, result.out) == (2, "")
    assert "-o a.wav is a file; needs a folder" in result.err
    assert (folder / "a.wav").read_text() == "hello world"


def test_standard_input(run: Run, server: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    assert run("transcribe", *server, "-", "a.wav").out == "-\tfrom a pipe\na.wav\thello world\n"


def test_raw_samples(run: Run, triton: FakeTriton, server: list[str], folder: Path) -> None:
    run("transcribe", *server, "--encoding", "pcm_s16le", "--sampling-rate", 8000, "a.wav")
    assert triton.seen[0].parameters["sample_rate"] == 8000


def sides(seen: Seen) -> Transcription:
    """A call of two channels."""
    word = Word("yes", 1.0, 1.5, 0.5) if seen.parameters["channel"] else Word("hello", 0.0, 0.5, 0.5)
    return Transcription(word.word, 0.5, 2.0, (word,))


def test_separate_channels(run: Run, triton: FakeTriton, server: list[str], folder: Path) -> None:
    triton.model = sides
    one = run("transcribe", *server, "--channels", "separate", "a.wav")
    assert one.out == "Speaker 0: hello\nSpeaker 1: yes\n"
    two = run("transcribe", *server, "--channels", "separate", "a.wav", "b.wav")
    assert two.out == "".join(f"{name}\tSpeaker 0: hello\n{name}\tSpeaker 1: yes\n" for name in ("a.wav", "b.wav"))
    captions = run("transcribe", *server, "--channels", "separate", "-f", "vtt", "a.wav")
    assert "<v Speaker 1>yes" in captions.out
    assert all(seen.parameters["of_channels"] == 2 for seen in triton.seen)


def test_separate_channels_of_raw_samples(run: Run, triton: FakeTriton, server: list[str], folder: Path) -> None:
    triton.model = sides
    raw = ["--encoding", "pcm_s16le", "--sampling-rate", 8000]
    assert run("transcribe", *server, *raw, "--channels", "3,separate", "a.wav").code == 0
    assert sorted(seen.parameters["channel"] for seen in triton.seen) == [0, 1, 2]
    assert {seen.parameters["channels"] for seen in triton.seen} == {3}
    triton.model = spoken
    assert run("transcribe", *server, *raw, "--channels", 2, "a.wav").code == 0
    assert triton.seen[-1].parameters["channels"] == 2
    assert "channel" not in triton.seen[-1].parameters


def test_headers_and_model(run: Run, triton: FakeTriton, server: list[str], folder: Path) -> None:
    run("transcribe", *server, "-H", "Authorization: Bearer: x", "a.wav")
    assert triton.seen[0].headers["authorization"] == "Bearer: x"
    assert "no such model" in run("transcribe", *server, "-m", "other", "a.wav").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["-f", "doc", "a.wav"], "doc"),
        (["-f", "srt", "a.wav", "b.wav"], "srt holds one recording: give -o DIR"),
        (["-", "-"], "given more than once"),
        (["--sampling-rate", "8000", "a.wav"], "for raw samples"),
        (["--encoding", "pcm_s16le", "a.wav"], "needs --sampling-rate"),
        (["--channels", "2", "a.wav"], "for raw samples"),
        (["--channels", "stereo", "a.wav"], "--channels is 'stereo'; needs mixed or separate"),
        (["--channels", "0", "a.wav"], "--channels is '0'; needs mixed or separate"),
        (["--channels", "separate,mixed", "a.wav"], "--channels is 'separate,mixed'"),
        (["--channels", "separate", "--decoder", "beam", "--nbest", "2", "a.wav"], "leave out --channels separate"),
        (["-u", "http://host", "a.wav"], "without a scheme"),
        (["-H", "nonsense", "a.wav"], "needs 'NAME: VALUE'"),
        (["--tls-ca", "missing.pem", "a.wav"], "TLS file not found"),
        (["--nonsense", "a.wav"], "No such option"),
    ],
)
def test_wrong_usage(run: Run, folder: Path, arguments: list[str], message: str) -> None:
    result = run("transcribe", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_no_server_is_one_line(run: Run, folder: Path) -> None:
    result = run("transcribe", "-u", "localhost:9", "a.wav", "b.wav")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert result.err.startswith("triton-asr: error: gRPC server at localhost:9: ")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a.wav", "b/a.wav", "a-2.wav", "A.flac", "-", "stdin.wav", "a"]), max_size=12))
def test_output_names_differ(files: list[str]) -> None:
    stems = [stem.casefold() for stem in output_stems(files)]
    assert len(set(stems)) == len(stems)


def test_natural_names_are_kept_where_they_can() -> None:
    assert output_stems(["x/a.wav", "y/a.wav", "a-2.wav"]) == ["a", "a-3", "a-2"]


@pytest.fixture
def manifest(folder: Path) -> Path:
    file = folder / "clips.tsv"
    file.write_text("audio\ttext\na.wav\tHello, world!\nb.wav\tgood evening\n")
    return file


def test_evaluate(run: Run, server: list[str], manifest: Path) -> None:
    result = run("evaluate", *server, manifest)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[:4] == [
        "worst 1:",
        " 50.0 %  b.wav",
        "    reference   good evening",
        "    transcript  good morning",
    ]
    assert lines[-1] == "total WER 25.0 %  (4 words, 2 files)"


def test_evaluate_as_it_is(run: Run, server: list[str], manifest: Path) -> None:
    out = run("evaluate", *server, "--no-normalize", "--worst", 0, manifest).out
    assert out.splitlines()[-1] == "total WER 75.0 %  (4 words, 2 files)"
    assert "reference" not in out


def test_evaluate_table(run: Run, server: list[str], manifest: Path) -> None:
    lines = run("evaluate", *server, "--table", manifest).out.splitlines()
    assert lines[2].split() == ["a.wav", "hello", "world", "0.0", "%"]
    assert lines[-1] == "total WER 25.0 %  (4 words, 2 files)"


def test_evaluate_has_the_options_of_whisper(run: Run, server: list[str], triton: FakeTriton, manifest: Path) -> None:
    assert run("evaluate", *server, "--language", "german", "--task", "translate", manifest).code == 0
    assert all({"language": "german", "task": "translate"}.items() <= seen.parameters.items() for seen in triton.seen)


def test_evaluate_writes_json(run: Run, triton: FakeTriton, server: list[str], manifest: Path) -> None:
    triton.model = lambda seen: replace(spoken(seen), confidence=0.7654, duration=2.1)
    run("evaluate", *server, "--json", "report.json", manifest)
    report = json.loads(Path("report.json").read_text())
    assert (report["wer"], report["model"], report["normalized"]) == (0.25, "asr", True)
    assert [item["transcript"] for item in report["items"]] == ["hello world", "good morning"]
    assert all(item["confidence"] == 0.7654 and item["duration"] == 2.1 for item in report["items"])
    assert report["audio_seconds"] == 4.2


def test_evaluate_shows_failures_and_exits_1(run: Run, server: list[str], manifest: Path) -> None:
    manifest.write_text(manifest.read_text() + "bad.wav\tx\ngone.wav\ty\n")
    result = run("evaluate", *server, manifest)
    assert result.code == 1
    assert "triton-asr: error: bad.wav: cannot read this as audio" in result.err
    assert "gone.wav: No such file" in result.err
    assert result.out.splitlines()[-1] == "total WER 25.0 %  (4 words, 2 of 4 files, 2 failed)"


def test_evaluate_malformed_manifest(run: Run, folder: Path) -> None:
    (folder / "m.tsv").write_text("audio\ttext\noops\n")
    result = run("evaluate", "m.tsv")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("triton-asr: error: m.tsv, line 2: has 1 column(s)")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], *([name, "-h"] for name in command.EXTRAS)])
def test_help(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.code == 0
    assert result.out.startswith("Usage: triton-asr")


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("triton-asr ")


def test_every_subcommand_has_its_extra() -> None:
    assert {info.name for info in command.app.registered_commands} == command.EXTRAS.keys()


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ModuleNotFoundError(name="torch"), ["export", "x"], 'needs the package torch, .*"triton-asr-kit\\[export\\]"'),
        (ModuleNotFoundError(name="jiwer.x"), ["evaluate"], 'the package jiwer, .*"triton-asr-kit\\[evaluate\\]"'),
        (ModuleNotFoundError(name="tqdm"), ["transcribe"], '"triton-asr-kit"$'),
        (AsrError("oops"), ["transcribe"], "^oops$"),
    ],
)
def test_failures_explained(error: Exception, arguments: list[str], message: str) -> None:
    assert re.search(message, command.explain(error, arguments) or "")


@pytest.mark.parametrize("bug", [KeyError("x"), ModuleNotFoundError(name="asr_client.oops"), ModuleNotFoundError()])
def test_bugs_keep_their_traceback(bug: Exception) -> None:
    assert command.explain(bug, ["transcribe"]) is None


def test_debug_variable_shows_the_traceback(folder: Path) -> None:
    environment = {**os.environ, "TRITON_ASR_DEBUG": "1"}
    arguments = [sys.executable, "-m", "triton_asr", "evaluate", "missing.tsv"]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, triton_asr.main\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'locust', 'numpy', 'tritonclient', 'jiwer', 'tqdm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
