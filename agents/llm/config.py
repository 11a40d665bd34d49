"""Configuration of one chat model."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agents.llm.ledger import Usage
from agents.llm.session import PRESETS, SessionSetting
from core.record import Config


class Prices(Config):
    """What a model costs: by tokens, by the time of its server, or both.

    Attributes:
        prompt: USD per million prompt tokens.
        completion: USD per million completion tokens.
        cached: USD per million prompt tokens that the server found in its cache; None charges `prompt` for them.
        server_hour: USD for an hour of the server with all its GPUs; counted while at least one request is in flight
            and shared out among those that are.
    """

    prompt: float = Field(0.0, ge=0)
    completion: float = Field(0.0, ge=0)
    cached: float | None = Field(None, ge=0)
    server_hour: float = Field(0.0, ge=0)

    def cost(self, usage: Usage, server_s: float = 0.0) -> float:
        """Return the cost of a request in USD, from its tokens and its share of server time in seconds."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        millionths = fresh * self.prompt + usage.cached_tokens * cached + usage.completion_tokens * self.completion
        return millionths / 1_000_000 + server_s / 3600 * self.server_hour


def _one_or_several(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


class ModelConfig(Config):
    """A chat model and how to reach it. Times in seconds. Holds no secret: the key is named, not given.

    Attributes:
        name: a name that the server knows, `builtin:repair`, or `python:module:Class` of your own.
        base_url: of an OpenAI-compatible server, with `/v1`; or a list of servers of the same model.
        session: where requests carry the id of their session: a preset (`header`, `vllm-router`, `sglang`, `dynamo`,
            `llm-d`, `litellm`, `none`) or names of your own.
        api_key_env: environment variable that holds the key; servers without keys need none.
        temperature, top_p: for requests that set none; None leaves them to the server.
        max_tokens: of one reply, thinking included, for requests that do not say; at most half of the context where the
            server tells how long that is. A reply that is cut before it holds anything of use is asked for again with
            four times as many. None leaves it to the server.
        request_timeout_s: of one HTTP request, reading included.
        call_deadline_s: of one call with all its retries and waits.
        max_attempts: requests per call that the server may answer uselessly; waiting for a dead or busy one is
            bounded by the deadline alone.
        backoff_cap_s: longest wait between two retries.
        max_concurrency: requests in flight at once at each server; falls by itself while the server says 429. None
            takes twice the workers, at least 128.
        gpu: any name for the GPU that the model's server shares with servers of other models, which then take turns
            using vLLM's sleep mode; empty if it shares none.
        prices: for the ledger's cost; without them cost stays 0.
        extra_body: sent with every request, such as `{"chat_template_kwargs": {"enable_thinking": false}}`.
        text_protocol: the model cannot call tools; agents use fenced blocks instead.
        send_reasoning: return the model's reasoning to it in later turns, under the name the server used.
        cassette: file that replies are kept in and given from, see `cassette.py`.
        cassette_mode: `record` asks always, `replay` never, `auto` for what the cassette does not hold.
    """

    name: str = Field(min_length=1)
    base_url: Annotated[str | tuple[str, ...] | None, BeforeValidator(_one_or_several)] = None
    session: SessionSetting = PRESETS["header"]
    api_key_env: str = "OPENAI_API_KEY"
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(16384, gt=0)
    request_timeout_s: float = Field(600.0, gt=0)
    call_deadline_s: float = Field(1800.0, gt=0)
    max_attempts: int = Field(6, gt=0)
    backoff_cap_s: float = Field(20.0, gt=0)
    max_concurrency: int | None = Field(None, gt=0)
    gpu: str = ""
    prices: Prices | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    text_protocol: bool = False
    send_reasoning: bool = True
    cassette: str | None = None
    cassette_mode: Literal["record", "replay", "auto"] = "auto"

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The configured servers, in order; empty if there are none."""
        given = (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()
        return tuple(one for one in given if one)
