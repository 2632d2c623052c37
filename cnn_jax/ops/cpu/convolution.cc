// Convolutions by oneDNN, called from programs that XLA compiles for the CPU.
//
// One handler computes the three maps of ops/convolution.py: y of (x, w), the gradient of x of
// (g, w), and that of w of (x, g). Images are [N, H, W, C], filters [kh, kw, C / groups, O], all
// dense, and all float32 or all bfloat16, whose sums are float32. oneDNN chooses how filters lie in
// memory while it works; they are brought there and back here, which is little work beside the
// convolution.

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

using dnnl::memory;
using Sizes = memory::dims;
using Numbers = ffi::Span<const int64_t>;
using Array = ffi::AnyBuffer;
using Type = memory::data_type;

enum Map : int64_t { kForward, kInputGradient, kKernelGradient };

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Memory that a thread works in, kept from call to call.
class Room {
 public:
  ~Room() { std::free(start_); }

  void* Of(size_t bytes) {
    if (bytes > size_) {
      std::free(start_);
      size_ = (bytes + 4095) / 4096 * 4096;
      start_ = std::aligned_alloc(4096, size_);
      if (start_ == nullptr) {
        size_ = 0;
        throw std::bad_alloc();
      }
    }
    return start_;
  }

 private:
  void* start_ = nullptr;
  size_t size_ = 0;
};

// What a call needs that its shapes and attributes determine.
struct Plan {
  dnnl::primitive convolution;
  memory::desc images, filters, results, scratch;  // x or its gradient; w; y or its gradient
  memory::desc plain;                              // w as the program has it
  dnnl::reorder reorder;                           // of w, if filters differ from plain
};

using Key = std::vector<int64_t>;

std::unique_ptr<Plan> MakePlan(int64_t map, Type type, const Sizes& x, const Sizes& w,
                               const Sizes& y, Numbers stride, Numbers low, Numbers high,
                               Numbers dilation, int64_t groups) {
  // oneDNN's sizes are N, C, H, W and groups, O, I, kh, kw, whatever lies how.
  const Sizes xs = {x[0], x[3], x[1], x[2]}, ys = {y[0], y[3], y[1], y[2]};
  Sizes ws = {w[3] / groups, w[2], w[0], w[1]};
  if (groups > 1) ws.insert(ws.begin(), groups);
  const auto tag = groups > 1 ? memory::format_tag::hwigo : memory::format_tag::hwio;

  auto plan = std::make_unique<Plan>();
  plan->images = memory::desc(xs, type, memory::format_tag::nhwc);
  plan->results = memory::desc(ys, type, memory::format_tag::nhwc);
  plan->plain = memory::desc(ws, type, tag);
  const memory::desc any(ws, type, memory::format_tag::any);
  const Sizes strides(stride.begin(), stride.end()), first(low.begin(), low.end()),
      last(high.begin(), high.end());
  Sizes apart;  // oneDNN counts the pixels between taps
  for (int64_t step : dilation) apart.push_back(step - 1);

  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto direct = dnnl::algorithm::convolution_direct;
  const dnnl::convolution_forward::primitive_desc forward(
      Engine(), dnnl::prop_kind::forward_training, direct, plan->images, any, plan->results,
      strides, apart, first, last, attributes);
  // The primitive of a backward map, of the type of ``kind``; returns its description.
  const auto backward = [&](auto kind) {
    using Backward = decltype(kind);
    const typename Backward::primitive_desc description(Engine(), direct, plan->images, any,
                                                        plan->results, strides, apart, first,
                                                        last, forward, attributes);
    plan->convolution = Backward(description);
    plan->scratch = description.scratchpad_desc();
    return description;
  };
  if (map == kForward) {
    plan->convolution = dnnl::convolution_forward(forward);
    plan->filters = forward.weights_desc();
    plan->scratch = forward.scratchpad_desc();
  } else if (map == kInputGradient) {
    plan->filters = backward(dnnl::convolution_backward_data()).weights_desc();
  } else {
    plan->filters = backward(dnnl::convolution_backward_weights()).diff_weights_desc();
  }
  if (plan->filters != plan->plain) {
    const bool back = map == kKernelGradient;
    plan->reorder = dnnl::reorder(dnnl::reorder::primitive_desc(
        Engine(), back ? plan->filters : plan->plain, Engine(),
        back ? plan->plain : plan->filters));
  }
  return plan;
}

const Plan& PlanOf(int64_t map, Type type, const Sizes& x, const Sizes& w, const Sizes& y,
                   Numbers stride, Numbers low, Numbers high, Numbers dilation, int64_t groups) {
  static std::mutex mutex;
  static std::map<Key, std::unique_ptr<Plan>> plans;
  Key key = {map, static_cast<int64_t>(type), groups};
  for (const Sizes* sizes : {&x, &w, &y}) key.insert(key.end(), sizes->begin(), sizes->end());
  for (Numbers numbers : {stride, low, high, dilation})
    key.insert(key.end(), numbers.begin(), numbers.end());
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Plan>& plan = plans[key];
  if (plan == nullptr) plan = MakePlan(map, type, x, w, y, stride, low, high, dilation, groups);
  return *plan;
}

Type TypeOf(const Array& array) {
  switch (array.element_type()) {
    case ffi::DataType::F32:
      return Type::f32;
    case ffi::DataType::BF16:
      return Type::bf16;
    default:
      throw std::invalid_argument("arrays are float32 or bfloat16");
  }
}

Sizes SizesOf(const ffi::Span<const int64_t> dimensions) {
  return Sizes(dimensions.begin(), dimensions.end());
}

void Run(int64_t map, Array a, Array b, ffi::Result<Array> out, Numbers stride, Numbers low,
         Numbers high, Numbers dilation, int64_t groups) {
  const Sizes first = SizesOf(a.dimensions()), second = SizesOf(b.dimensions()),
              third = SizesOf(out->dimensions());
  const Sizes& x = map == kInputGradient ? third : first;
  const Sizes& w = map == kKernelGradient ? third : second;
  const Sizes& y = map == kForward ? third : map == kInputGradient ? first : second;
  const Plan& plan = PlanOf(map, TypeOf(a), x, w, y, stride, low, high, dilation, groups);

  void* const made = out->untyped_data();
  void* const images = map == kInputGradient ? made : a.untyped_data();
  void* const filters = map == kKernelGradient ? made : b.untyped_data();
  void* const results = map == kForward         ? made
                        : map == kInputGradient ? a.untyped_data()
                                                : b.untyped_data();

  thread_local Room scratch, arranged;
  dnnl::stream stream(Engine());
  const memory plain(plan.plain, Engine(), filters);
  const bool moves = static_cast<bool>(plan.reorder);
  const memory fitting =
      moves ? memory(plan.filters, Engine(), arranged.Of(plan.filters.get_size())) : plain;
  if (moves && map != kKernelGradient)
    plan.reorder.execute(stream, {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, fitting}});
  const bool forward = map == kForward;
  plan.convolution.execute(
      stream,
      {{map == kInputGradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
        memory(plan.images, Engine(), images)},
       {map == kKernelGradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, fitting},
       {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, memory(plan.results, Engine(), results)},
       {DNNL_ARG_SCRATCHPAD,
        memory(plan.scratch, Engine(), scratch.Of(plan.scratch.get_size()))}});
  if (moves && map == kKernelGradient)
    plan.reorder.execute(stream, {{DNNL_ARG_FROM, fitting}, {DNNL_ARG_TO, plain}});
  stream.wait();
}

ffi::Error Convolve(Array a, Array b, ffi::Result<Array> out, int64_t map, Numbers stride,
                    Numbers low, Numbers high, Numbers dilation, int64_t groups) {
  try {
    Run(map, a, b, out, stride, low, high, dilation, groups);
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("oneDNN: ") + error.what());
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnn_jax_convolve, Convolve,
                              ffi::Ffi::Bind()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Attr<int64_t>("map")
                                  .Attr<Numbers>("stride")
                                  .Attr<Numbers>("low")
                                  .Attr<Numbers>("high")
                                  .Attr<Numbers>("dilation")
                                  .Attr<int64_t>("groups"));

// 1 if oneDNN has bfloat16 for this processor, 0 if not.
extern "C" int cnn_jax_onednn_takes_bfloat16() {
  const int needed = dnnl_cpu_isa_avx512_core;
  return (dnnl_get_effective_cpu_isa() & needed) == needed;
}

// The version of the library that was loaded, as MAJOR * 10000 + MINOR * 100 + PATCH.
extern "C" int cnn_jax_onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return version->major * 10000 + version->minor * 100 + version->patch;
}
