#include "apam/training/event_order.h"

#include "apam/training/json_text.h"
#include "kernels/runtime/error.h"

namespace apam::training {
namespace {

using exchange::RecordedEvent;
using Kind = RecordedEvent::Kind;

Json to_json(const RecordedEvent& event) {
  Json json = Json::object();
  switch (event.kind) {
    case Kind::start:
      return {{"workers", event.number}};
    case Kind::departed:
      return {{"departed", event.number}};
    case Kind::stop:
      return {{"stop", event.number}};
    case Kind::gradient:
      if (event.signal == 0) return event.number;
      json["gradient"] = event.number;
      break;
    case Kind::cancelled:
      json["cancelled"] = event.number;
      break;
  }
  if (event.signal != 0) json["signal"] = event.signal;
  return json;
}

/// Throws Json::exception.
RecordedEvent from_json(const Json& json) {
  if (json.is_number_integer()) return {Kind::gradient, json.get<int>()};
  for (const auto& [name, kind] : {std::pair("workers", Kind::start),
                                   {"gradient", Kind::gradient},
                                   {"cancelled", Kind::cancelled},
                                   {"departed", Kind::departed}}) {
    if (json.contains(name)) return {kind, json.at(name).get<int>(), json.value("signal", 0)};
  }
  return {Kind::stop, json.at("stop").get<int>()};
}

}  // namespace

std::string order_line(const exchange::RecordedCall& call) {
  Json line = Json::array();
  for (const RecordedEvent& event : call) line.push_back(to_json(event));
  return line.dump();
}

exchange::RecordedCall parse_order_line(std::string_view line, std::string_view where) {
  try {
    exchange::RecordedCall call;
    const Json json = Json::parse(line);
    require<InputError>(json.is_array(), "{}: {}, expected an array of events", where, json_text(std::string(line)));
    for (const Json& event : json) call.push_back(from_json(event));
    return call;
  } catch (const Json::exception& error) {
    fail<InputError>("{}: {}", where, error.what());
  }
}

}  // namespace apam::training
