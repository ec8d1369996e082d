import { connect, StreamingError } from "nats-streaming-client";
import worker from "./worker.cjs";

export default worker({ connect, StreamingError });
