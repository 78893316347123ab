#include "inference/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {

struct Scheduler::Sequence {
  std::uint64_t number = 0;
  int index = 0;
  EngineRequest request;              ///< `prompt` is moved into ids
  std::vector<std::int32_t> ids;      ///< prompt, then what was sampled
  std::size_t prompt = 0;             ///< ids of the prompt
  std::vector<std::int32_t> pages;
  std::size_t computed = 0;           ///< positions that are in the cache
  std::size_t published = 0;          ///< pages made known to others
  int sampled = 0;
  int cached = 0;
  bool forks = false;                 ///< further samples split off when the prompt is done
  bool context_bound = false;         ///< max_tokens is what the context has room for, less than was asked for
  bool admitted = false;              ///< once at least
  bool told_prompt = false;           ///< the listener has the prompt's log-probabilities
  bool preempted = false;
  bool done = false;
  TokenHistory history;
  std::vector<float> prompt_logprobs;
  std::vector<TopTokens> prompt_top;

  /// Its next token depends on the logits and the plain parameters alone, so the backend may draw it.
  bool plain() const { return !forks && !request.constraint && request.top_logprobs == 0 && !(request.prompt_logprobs && sampled == 0) && !has_penalties(request.sampling); }
};

struct Scheduler::Planned {
  Sequence* sequence = nullptr;
  std::size_t tokens = 0;
  LogitsOf logits = LogitsOf::None;
};

Scheduler::Scheduler(Backend& backend, const EngineOptions& options) : backend_(backend), options_(options), pool_(backend.cache().pages) {
  require(options.max_running >= 1 && options.chunk_tokens >= 1 && options.max_samples >= 1, ErrorKind::Usage, "engine: max_running, chunk_tokens and max_samples must be at least 1");
  options_.max_running = std::min(options_.max_running, backend.max_tokens());
  options_.max_samples = std::min(options_.max_samples, options_.max_running);
}

Scheduler::~Scheduler() = default;

int Scheduler::max_context() const { return static_cast<int>(std::min<std::int64_t>(backend_.config().max_positions, std::int64_t{pool_.pages()} * kPageTokens)); }

void Scheduler::check(const EngineRequest& request) const {
  require(!request.prompt.empty(), ErrorKind::Usage, "the prompt is empty; at least one token is needed");
  for (const auto id : request.prompt) require(id >= 0 && id < backend_.config().vocab, ErrorKind::Usage, fmt::format("the prompt holds the token id {}; accepted: 0 to {}", id, backend_.config().vocab - 1));
  require(static_cast<int>(request.prompt.size()) < max_context(), ErrorKind::Usage,
          fmt::format("the prompt has {} tokens; the longest context here is {} tokens, with at least one for the answer", request.prompt.size(), max_context()));
  require(request.max_tokens >= 1, ErrorKind::Usage, fmt::format("max_tokens: found {}; accepted: 1 or more", request.max_tokens));
  require(request.samples >= 1 && request.samples <= options_.max_samples, ErrorKind::Usage, fmt::format("samples: found {}; accepted: 1 to {}", request.samples, options_.max_samples));
  require(request.top_logprobs >= 0 && request.top_logprobs <= backend_.config().vocab, ErrorKind::Usage, fmt::format("top_logprobs: found {}; accepted: 0 to {}", request.top_logprobs, backend_.config().vocab));
  require(request.listener != nullptr, ErrorKind::Internal, "a request needs a listener");
  check_sampling(request.sampling);
}

void Scheduler::add(std::uint64_t number, EngineRequest request) {
  auto sequence = std::make_unique<Sequence>();
  sequence->number = number;
  sequence->forks = request.samples > 1;
  sequence->ids = std::move(request.prompt);
  sequence->prompt = sequence->ids.size();
  sequence->request = std::move(request);
  const int room = max_context() - static_cast<int>(sequence->prompt);
  sequence->context_bound = sequence->request.max_tokens > room;
  sequence->request.max_tokens = std::min(sequence->request.max_tokens, room);
  if (has_penalties(sequence->request.sampling)) {
    for (const auto id : sequence->ids) ++sequence->history.prompt[id];
  }
  ++stats_.requests;
  stats_.prompt_tokens += static_cast<std::int64_t>(sequence->prompt);
  waiting_.push_back(std::move(sequence));
}

void Scheduler::cancel(std::uint64_t number) {
  for (auto& sequence : waiting_) {
    if (sequence->number == number) finish(*sequence, EngineFinish::Cancelled);
  }
  for (auto& sequence : running_) {
    if (sequence->number == number) finish(*sequence, EngineFinish::Cancelled);
  }
  sweep();
}

void Scheduler::fail_all(const std::string& reason) {
  for (auto& sequence : waiting_) finish(*sequence, EngineFinish::Failed, reason);
  for (auto& sequence : running_) finish(*sequence, EngineFinish::Failed, reason);
  sweep();
}

bool Scheduler::idle() const { return waiting_.empty() && running_.empty(); }

EngineStats Scheduler::stats() const {
  EngineStats out = stats_;
  out.running = static_cast<int>(running_.size());
  out.waiting = static_cast<int>(waiting_.size());
  out.pages = pool_.pages();
  out.pages_in_use = pool_.pages() - pool_.available();
  return out;
}

/// Samples that it is or will be.
std::size_t Scheduler::members(const Sequence& sequence) { return sequence.forks ? static_cast<std::size_t>(sequence.request.samples) : 1; }

/// Pages that it will still take for what it has (and a page to write on, for each of its samples).
std::size_t Scheduler::owed_pages(const Sequence& sequence) {
  const std::size_t all = pages_for(sequence.ids.size() + 1) + members(sequence) - 1;
  return all - std::min(all, sequence.pages.size());
}

/// Takes sequences in as long as their prompts fit beside the others and what those will still take.
void Scheduler::admit() {
  std::size_t samples = 0, owed = 0;
  for (const auto& sequence : running_) {
    samples += members(*sequence);
    owed += owed_pages(*sequence);
  }
  while (!waiting_.empty()) {
    Sequence& next = *waiting_.front();
    if (!running_.empty() && samples + members(next) > static_cast<std::size_t>(options_.max_running)) return;
    // The last token is always computed, for its logits.
    if (options_.reuse_prefixes && !next.request.prompt_logprobs) next.pages = pool_.match(next.ids, (next.ids.size() - 1) / kPageTokens);
    if (!running_.empty() && static_cast<std::size_t>(pool_.available()) < owed + owed_pages(next)) return drop_pages(next);
    next.published = next.pages.size();
    next.computed = next.pages.size() * kPageTokens;
    if (!next.admitted) {
      next.admitted = true;
      next.cached += static_cast<int>(next.computed);
      stats_.cached_tokens += static_cast<std::int64_t>(next.computed);
    }
    samples += members(next);
    owed += owed_pages(next);
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::drop_pages(Sequence& sequence) {
  // The last first: the pool gives up the longest unused, and a prefix is of no use without its beginning.
  for (auto page = sequence.pages.rbegin(); page != sequence.pages.rend(); ++page) pool_.release(*page);
  sequence.pages.clear();
  sequence.computed = sequence.published = 0;
}

void Scheduler::preempt(Sequence& sequence) {
  drop_pages(sequence);
  sequence.preempted = true;
  ++stats_.preemptions;
}

Scheduler::Sequence* Scheduler::youngest_after(const Sequence& sequence) {
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    if (it->get() == &sequence) return nullptr;
    if (!(*it)->pages.empty()) return it->get();
  }
  return nullptr;
}

/// Pages for `tokens` more positions. Younger sequences give way; if there are none, this one does, and false is returned.
bool Scheduler::reserve(Sequence& sequence, std::size_t tokens) {
  while (sequence.pages.size() < pages_for(sequence.computed + tokens)) {
    if (const auto page = pool_.take()) {
      sequence.pages.push_back(*page);
    } else if (Sequence* victim = youngest_after(sequence)) {
      preempt(*victim);
    } else {
      preempt(sequence);
      return false;
    }
  }
  return true;
}

void Scheduler::plan(std::vector<Planned>& out) {
  auto budget = static_cast<std::size_t>(backend_.max_tokens());
  auto prefill = static_cast<std::size_t>(options_.chunk_tokens);
  const auto visit = [&](bool decoding) {
    for (auto& sequence : running_) {
      const std::size_t pending = sequence->ids.size() - sequence->computed;
      if (sequence->preempted || decoding != (pending == 1)) continue;
      const std::size_t tokens = decoding ? std::min<std::size_t>(1, budget) : std::min({pending, prefill, budget});
      if (tokens == 0 || !reserve(*sequence, tokens)) continue;
      budget -= tokens;
      if (!decoding) prefill -= tokens;
      const bool complete = tokens == pending;
      const bool wants_prompt = sequence->request.prompt_logprobs && sequence->prompt_logprobs.size() + 1 < sequence->prompt;
      out.push_back({.sequence = sequence.get(), .tokens = tokens, .logits = wants_prompt ? LogitsOf::All : complete ? LogitsOf::Last : LogitsOf::None});
    }
  };
  visit(true);
  visit(false);
  std::erase_if(out, [](const Planned& planned) { return planned.sequence->preempted; });
}

bool Scheduler::step() {
  admit();
  std::vector<Planned> planned;
  plan(planned);
  if (planned.empty()) {
    sweep();
    return !idle();
  }
  std::vector<SequenceStep> steps;
  for (const auto& p : planned) {
    steps.push_back({.ids = std::span(p.sequence->ids).subspan(p.sequence->computed, p.tokens), .start = static_cast<std::int64_t>(p.sequence->computed), .pages = p.sequence->pages, .logits = p.logits});
  }
  // One wish for each row of logits; in the order of the plan.
  const auto rows_of = [](const Planned& p) { return p.logits == LogitsOf::All ? p.tokens : p.logits == LogitsOf::Last ? std::size_t{1} : std::size_t{0}; };
  std::vector<RowWish> wishes;
  for (const auto& p : planned) {
    const bool drawn = backend_.can_draw() && p.logits == LogitsOf::Last && p.sequence->plain();
    wishes.insert(wishes.end(), rows_of(p), RowWish{.draw = drawn ? &p.sequence->request.sampling : nullptr, .step = static_cast<std::uint64_t>(p.sequence->sampled)});
  }
  const DrawnRows result = backend_.can_draw() ? backend_.forward_and_draw(steps, wishes) : DrawnRows{.tokens = {}, .logits = backend_.forward(steps)};
  ++stats_.passes;
  const auto vocab = static_cast<std::size_t>(backend_.config().vocab);
  std::size_t row = 0, logits_row = 0;
  for (const auto& p : planned) {
    const std::size_t rows = rows_of(p);
    if (rows > 0 && wishes[row].draw != nullptr) {
      advance(p, {}, &result.tokens[row]);
    } else {
      advance(p, result.logits.subspan(logits_row * vocab, rows * vocab), nullptr);
      logits_row += rows;
    }
    row += rows;
  }
  sweep();
  return true;
}

void Scheduler::advance(const Planned& planned, std::span<const float> logits, const SampledToken* drawn) {
  Sequence& sequence = *planned.sequence;
  if (planned.logits == LogitsOf::All) note_prompt(sequence, planned, logits);
  sequence.computed += planned.tokens;
  if (options_.reuse_prefixes) {
    for (; sequence.published < sequence.computed / kPageTokens; ++sequence.published) sequence.pages[sequence.published] = pool_.publish(sequence.ids, sequence.pages, sequence.published);
  }
  if (sequence.request.prompt_logprobs && !sequence.told_prompt && sequence.prompt_logprobs.size() + 1 == sequence.prompt) {
    sequence.told_prompt = true;
    sequence.request.listener->on_prompt(sequence.prompt_logprobs, sequence.prompt_top);
  }
  if (sequence.computed < sequence.ids.size()) return;
  if (drawn != nullptr) {
    sample(sequence, {}, drawn);
    return;
  }
  const auto last = logits.last(static_cast<std::size_t>(backend_.config().vocab));
  if (sequence.forks) fork(sequence, last);
  sample(sequence, last, nullptr);
}

void Scheduler::note_prompt(Sequence& sequence, const Planned& planned, std::span<const float> logits) {
  const auto vocab = static_cast<std::size_t>(backend_.config().vocab);
  for (std::size_t i = 0; i < planned.tokens; ++i) {
    const std::size_t next = sequence.computed + i + 1;
    // After a preemption some are there already.
    if (next >= sequence.prompt || next != sequence.prompt_logprobs.size() + 1) continue;
    const auto row = logits.subspan(i * vocab, vocab);
    sequence.prompt_logprobs.push_back(static_cast<float>(static_cast<double>(row[static_cast<std::size_t>(sequence.ids[next])]) - log_sum_exp(row)));
    if (sequence.request.top_logprobs > 0) sequence.prompt_top.push_back(top_logprobs(row, sequence.request.top_logprobs));
  }
}

/// The other samples of a prompt: whole pages are shared, the page that is being written is copied.
void Scheduler::fork(Sequence& sequence, std::span<const float> logits) {
  sequence.forks = false;
  for (int index = 1; index < sequence.request.samples; ++index) {
    auto child = std::make_unique<Sequence>();
    const EngineRequest& from = sequence.request;
    child->number = sequence.number;
    child->index = index;
    child->request = {.prompt = {}, .sampling = from.sampling, .samples = 1, .max_tokens = from.max_tokens, .stop_ids = from.stop_ids, .top_logprobs = from.top_logprobs, .prompt_logprobs = false, .constraint = nullptr, .listener = from.listener};
    child->request.sampling.seed = Rng(from.sampling.seed).split(static_cast<std::uint64_t>(index)).next();
    child->ids = sequence.ids;
    child->prompt = sequence.prompt;
    child->history = sequence.history;
    child->cached = sequence.cached;
    child->context_bound = sequence.context_bound;
    child->admitted = true;
    try {
      if (from.constraint) child->request.constraint = from.constraint->clone();
    } catch (const std::exception& error) {
      finish(*child, EngineFinish::Failed, error.what());
      continue;
    }
    const std::size_t whole = sequence.computed / kPageTokens;
    const bool partial = sequence.computed % kPageTokens != 0;
    const auto page = partial ? pool_.take() : std::nullopt;
    if (!partial || page) {
      for (std::size_t i = 0; i < whole; ++i) {
        pool_.add_reference(sequence.pages[i]);
        child->pages.push_back(sequence.pages[i]);
      }
      if (page) {
        backend_.copy_page(sequence.pages[whole], *page);
        child->pages.push_back(*page);
      }
      child->computed = sequence.computed;
      child->published = whole;
    }
    sample(*child, logits, nullptr);
    forked_.push_back(std::move(child));
  }
}

/// The next token: the one that the backend has drawn, or one from the logits.
void Scheduler::sample(Sequence& sequence, std::span<const float> logits, const SampledToken* drawn) {
  EngineToken event{.index = sequence.index, .token = {}, .top = {}};
  try {
    if (drawn != nullptr) {
      require(drawn->id >= 0, ErrorKind::Internal, "sampling: no token is allowed");
      event.token = *drawn;
    } else {
      const TokenMask mask = sequence.request.constraint ? sequence.request.constraint->mask() : TokenMask{};
      event.token = sampler_.sample(logits, sequence.request.sampling, sequence.history, mask, static_cast<std::uint64_t>(sequence.sampled));
    }
    if (sequence.request.constraint) sequence.request.constraint->accept(event.token.id);
  } catch (const Error& error) {
    finish(sequence, error.kind() == ErrorKind::Usage ? EngineFinish::Rejected : EngineFinish::Failed, error.what());
    return;
  } catch (const std::exception& error) {  // such as no memory for a mask: no matter of the other sequences
    finish(sequence, EngineFinish::Failed, error.what());
    return;
  }
  if (sequence.request.top_logprobs > 0) event.top = top_logprobs(logits, sequence.request.top_logprobs);
  const std::int32_t id = event.token.id;
  sequence.ids.push_back(id);
  ++sequence.sampled;
  ++stats_.sampled_tokens;
  if (has_penalties(sequence.request.sampling)) ++sequence.history.output[id];
  const bool go_on = sequence.request.listener->on_token(event);
  const auto& stops = sequence.request.stop_ids;
  if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
    finish(sequence, EngineFinish::StopToken);
  } else if (!go_on) {
    finish(sequence, EngineFinish::Stopped);
  } else if (sequence.sampled >= sequence.request.max_tokens) {
    finish(sequence, sequence.context_bound ? EngineFinish::ContextFull : EngineFinish::Length);
  }
}

void Scheduler::finish(Sequence& sequence, EngineFinish why, const std::string& failure) {
  if (sequence.done) return;
  sequence.done = true;
  drop_pages(sequence);
  ++stats_.finished;
  // Samples that never split off end with the one they would have split from.
  const int last = sequence.forks ? sequence.request.samples - 1 : sequence.index;
  for (int index = sequence.index; index <= last; ++index) sequence.request.listener->on_finish(index, why, sequence.cached, failure);
}

/// Ended sequences leave, preempted ones go back to the head of the queue, new forks join.
void Scheduler::sweep() {
  std::vector<std::unique_ptr<Sequence>> kept;
  std::vector<std::unique_ptr<Sequence>> back;
  const auto place = [&](std::unique_ptr<Sequence>& sequence) {
    if (sequence->done) return;
    if (sequence->preempted || (sequence->pages.empty() && sequence->sampled > 0)) {
      sequence->preempted = false;
      back.push_back(std::move(sequence));
    } else {
      kept.push_back(std::move(sequence));
    }
  };
  for (auto& sequence : running_) place(sequence);
  for (auto& sequence : forked_) place(sequence);
  forked_.clear();
  running_ = std::move(kept);
  std::erase_if(waiting_, [](const auto& sequence) { return sequence->done; });
  for (auto it = back.rbegin(); it != back.rend(); ++it) waiting_.push_front(std::move(*it));
}

}  // namespace gauntlet
