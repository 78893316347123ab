#!/usr/bin/env python3
"""Other people's clients against `gauntlet serve model`: the openai package, and smolagents as an agent harness.

  server_peer_test.py --gauntlet build/release/gauntlet --tests build/release/gauntlet_tests

The program serves a golden checkpoint (random weights: for seeds, samples, log-probabilities, errors), the test program a model with written
replies (for tools, thinking, stop strings). Makes the virtual environment --venv on its first run. Exit status: 0 if all is well, 77 if the
environment could not be made (then it prints "skipped: …"), 1 otherwise.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.dont_write_bytecode = True  # the source folder stays as it is
from peer_environment import make_venv  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SKIPPED = 77
PACKAGES = ["openai==3.57.0", "smolagents==1.26.0"]
STAGE_CASE = "a server with written replies answers another program's clients while a folder is named"
KEY = "peer-test-key"
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city"}}, "required": ["city"]}}}


@contextlib.contextmanager
def scripted_server(tests):
    """Its base URL."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([str(tests), f"--test-case={STAGE_CASE}"], env={**os.environ, "GAUNTLET_SERVER_PEER": folder},
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        address = pathlib.Path(folder) / "address"
        try:
            while not address.exists():
                if process.poll() is not None:
                    raise SystemExit(f"FAILED: {tests} ended:\n{process.stdout.read()}")
                time.sleep(0.01)
            yield address.read_text() + "/v1"
        finally:
            output, _ = process.communicate()
            assert process.returncode == 0, output


@contextlib.contextmanager
def golden_server(gauntlet):
    """The real command; its base URL."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder) / "tiny"
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(GOLDEN / "models" / "v32-tiny" / name, folder / name)
        shutil.copy(GOLDEN / "tokenizer" / "deepseek.tokenizer.json", folder / "tokenizer.json")
        keys = folder / "keys"
        keys.write_text(f"# for the test\nanother-key-1\n{KEY}\n")
        process = subprocess.Popen([str(gauntlet), "serve", "model", "--model", str(folder), "--port", "0", "--api-key-file", str(keys), "--served-name", "golden",
                                    "--cache-tokens", "65536", "--drain-seconds", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            base = process.stdout.readline().strip()
            assert base.startswith("http://127.0.0.1:"), (base, process.poll() is None or process.stderr.read())
            yield base
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0, errors
            assert KEY not in errors, "a key was printed"


def client_of(base, key=KEY):
    import openai

    return openai.OpenAI(base_url=base, api_key=key, max_retries=0)


def metric(base, name):
    request = urllib.request.Request(base.removesuffix("/v1") + "/metrics", headers={"Authorization": f"Bearer {KEY}"})
    for line in urllib.request.urlopen(request).read().decode().splitlines():
        if line.startswith(f"gauntlet_{name} "):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def check_models(client, name):
    models = client.models.list()
    assert [m.id for m in models.data] == [name]
    assert client.models.retrieve(name).id == name


def check_chat_and_thinking(client):
    ask = {"model": "scripted", "messages": [{"role": "user", "content": "good day 😀"}]}
    reply = client.chat.completions.create(**ask)
    message = reply.choices[0].message
    assert (message.content, message.reasoning_content, reply.choices[0].finish_reason) == ("You said: good day 😀", "A question.", "stop")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.completion_tokens_details.reasoning_tokens > 0
    content = reasoning = ""
    last = None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        last = chunk
    assert (content, reasoning) == ("You said: good day 😀", "A question.")
    assert last.usage.completion_tokens == reply.usage.completion_tokens
    plain = client.chat.completions.create(**ask, extra_body={"chat_template_kwargs": {"thinking": False}})
    assert getattr(plain.choices[0].message, "reasoning_content", None) is None
    stopped = client.chat.completions.create(**ask, stop=["good"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("You said: ", "stop")
    cut = client.chat.completions.create(**ask, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 2


def check_tools(client):
    messages = [{"role": "user", "content": "what is the weather in Paris?"}]
    reply = client.chat.completions.create(model="scripted", messages=messages, tools=[WEATHER])
    call = reply.choices[0].message.tool_calls[0]
    assert reply.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})

    # The client library's own accumulation of a stream.
    with client.chat.completions.stream(model="scripted", messages=messages, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    streamed = final.choices[0].message.tool_calls
    assert len(streamed) == 1 and streamed[0].function.name == "get_weather" and json.loads(streamed[0].function.arguments) == {"city": "Paris"}
    assert final.choices[0].message.content == "Let me look." and final.choices[0].finish_reason == "tool_calls"

    messages += [reply.choices[0].message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    answer = client.chat.completions.create(model="scripted", messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is 21 degrees."
    assert client.chat.completions.create(model="scripted", messages=messages[:1], tools=[WEATHER], tool_choice="none").choices[0].message.tool_calls is None


def check_client_that_leaves(client, base):
    stream = client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "forever"}], stream=True)
    next(iter(stream))
    assert metric(base, "sequences_running") == 1
    stream.close()
    wait_for(lambda: metric(base, "sequences_running") == 0, 1.5)

    import openai

    impatient = openai.OpenAI(base_url=base, api_key=KEY, max_retries=0, timeout=0.5)
    try:
        impatient.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "forever"}])
        raise AssertionError("an endless reply ended")
    except openai.APITimeoutError:
        pass
    wait_for(lambda: metric(base, "sequences_running") == 0, 1.5)


def check_sampling(client):
    ask = {"model": "golden", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 16}

    def text(**more):
        return [(c.message.content, getattr(c.message, "reasoning_content", None)) for c in client.chat.completions.create(**ask, **more).choices]

    assert text(seed=7) == text(seed=7) != text(seed=8)
    several = text(seed=7, n=3)
    assert len(several) == 3 and several[0] == text(seed=7)[0] and len(set(several)) == 3
    reply = client.chat.completions.create(**ask, seed=7, logprobs=True, top_logprobs=4, extra_body={"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.1})
    content = reply.choices[0].logprobs.content
    assert len(content) == reply.usage.completion_tokens
    assert all(len(t.top_logprobs) == 4 and t.logprob <= t.top_logprobs[0].logprob <= 0 for t in content)
    completion = client.completions.create(model="golden", prompt=["one", "two"], max_tokens=4, n=2, seed=1, temperature=0)
    assert [c.index for c in completion.choices] == [0, 1, 2, 3] and completion.choices[0].text == completion.choices[1].text
    scored = client.completions.create(model="golden", prompt="Hello there", max_tokens=0, echo=True, logprobs=1)
    logprobs = scored.choices[0].logprobs
    assert scored.choices[0].text == "Hello there" and logprobs.token_logprobs[0] is None and all(x <= 0 for x in logprobs.token_logprobs[1:])
    assert "".join(c.choices[0].text for c in client.completions.create(model="golden", prompt="one", max_tokens=4, temperature=0, stream=True)) == completion.choices[0].text


def check_required_forms(client):
    """Schemas as the client library makes them of types, and replies of random weights as it reads them back."""
    from typing import Literal

    import openai
    import pydantic

    class Verdict(pydantic.BaseModel):
        verdict: Literal["yes", "no"]
        steps: int = pydantic.Field(ge=0, le=99)

    class Look(pydantic.BaseModel):
        """Looks at a place."""

        place: Literal["here", "there"]
        twice: bool

    ask = {"model": "golden", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 500, "extra_body": {"chat_template_kwargs": {"thinking": False}}}
    for seed in range(3):
        parsed = client.chat.completions.parse(**ask, seed=seed, response_format=Verdict).choices[0].message.parsed
        assert isinstance(parsed, Verdict)
        # The library's own accumulation of a stream.
        with client.chat.completions.stream(**ask, seed=seed, response_format=Verdict) as stream:
            for _ in stream:
                pass
            assert stream.get_final_completion().choices[0].message.parsed == parsed
    tool = openai.pydantic_function_tool(Look)
    assert tool["function"]["strict"] is True
    # One call each: a model of random weights may write as many as there is room for.
    reply = client.chat.completions.parse(**ask, n=4, seed=1, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    calls = [call for choice in reply.choices for call in choice.message.tool_calls]
    assert len(calls) == 4 and all(isinstance(call.function.parsed_arguments, Look) for call in calls)
    named = client.chat.completions.create(**ask, tools=[tool], tool_choice={"type": "function", "function": {"name": "Look"}})
    assert [call.function.name for call in named.choices[0].message.tool_calls] == ["Look"]
    odd = {"type": "function", "function": {"name": "odd", "strict": True, "parameters": {"type": "object", "not": {"type": "null"}}}}
    try:
        client.chat.completions.create(**ask, tools=[odd])
        raise AssertionError("a strict tool whose schema cannot be followed was accepted")
    except openai.BadRequestError as refused:
        assert refused.param == "tools" and "not" in refused.message


def check_errors(client, base):
    import openai

    def error(kind, code, action):
        try:
            action()
        except kind as caught:
            assert caught.code == code, (caught.code, code)
            return
        raise AssertionError(f"{kind.__name__} was not raised")

    def chat(with_client=client, **more):
        return with_client.chat.completions.create(**{"model": "golden", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1, **more})

    error(openai.AuthenticationError, "invalid_api_key", lambda: chat(client_of(base, "wrong-key-000")))
    error(openai.NotFoundError, "model_not_found", lambda: chat(model="other"))
    error(openai.BadRequestError, "context_length_exceeded", lambda: chat(messages=[{"role": "user", "content": "x" * 100_000}]))
    error(openai.BadRequestError, None, lambda: chat(temperature=-1))
    error(openai.BadRequestError, "unsupported_parameter", lambda: chat(logit_bias={"5": 1}))
    error(openai.APIStatusError, "request_too_large", lambda: chat(messages=[{"role": "user", "content": "x" * 17_000_000}]))
    assert chat(client_of(base, "another-key-1")).choices


def check_harness(base):
    import smolagents

    @smolagents.tool
    def get_weather(city: str) -> str:
        """Weather of a city.

        Args:
            city: The city.
        """
        return f"21 degrees in {city}"

    model = smolagents.OpenAIModel(model_id="scripted", api_base=base, api_key=KEY)
    for stream in (False, True):
        agent = smolagents.ToolCallingAgent(tools=[get_weather], model=model, max_steps=4, verbosity_level=0, stream_outputs=stream)
        answer = agent.run("what is the weather in Paris?")
        assert answer == "It is 21 degrees in Paris.", answer
    print("smolagents: an agent called its tool and answered, whole replies and streams: ok")


def check_many(base):
    """Clients at once, each with the reply that it would get alone."""
    client = client_of(base)

    def text(i):
        return client.chat.completions.create(model="golden", messages=[{"role": "user", "content": f"question {i}"}], max_tokens=12, seed=i).choices[0].message.model_dump_json()

    alone = [text(i) for i in range(8)]
    together = [None] * 8

    def run(i):
        together[i] = text(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def inside(arguments):
    with scripted_server(arguments.tests) as base:
        client = client_of(base)
        check_models(client, "scripted")
        check_chat_and_thinking(client)
        check_tools(client)
        check_client_that_leaves(client, base)
        print("openai: chat, thinking, streams, tools, clients that leave: ok")
        check_harness(base)
    with golden_server(arguments.gauntlet) as base:
        client = client_of(base)
        check_models(client, "golden")
        check_sampling(client)
        check_required_forms(client)
        check_errors(client, base)
        check_many(base)
        print("openai: seeds, samples, log-probabilities, text completions, schemas, strict tools, errors against gauntlet serve model: ok")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gauntlet", type=pathlib.Path, required=True, help="the program")
    parser.add_argument("--tests", type=pathlib.Path, required=True, help="the test program")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / ".venv" / "server")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return inside(arguments)
    python = make_venv(arguments.venv, PACKAGES, " ".join(PACKAGES))
    if python is None:
        return SKIPPED
    return subprocess.run([str(python), __file__, "--inside", *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
